//! PDF by `pdf-extract`, and by `lopdf` below it for fonts that it does not know.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Block, plain};

/// Name of the thread that reads a PDF: whoever prints panics may leave its out.
pub(in crate::kb) const THREAD: &str = "pdf";

/// Stack for the parser, which follows nested objects by recursion.
const STACK: usize = 64 << 20;

pub(super) fn blocks(bytes: &[u8]) -> Result<Vec<Block>, String> {
    if !bytes.starts_with(b"%PDF-") {
        return Err("it does not begin with %PDF-".into());
    }
    let pages = std::thread::scope(|scope| {
        // The library panics on what it does not expect; that must stay with this document.
        let reader =
            std::thread::Builder::new().name(THREAD.into()).stack_size(STACK).spawn_scoped(scope, || {
                catch_unwind(AssertUnwindSafe(|| pages(bytes)))
                    .unwrap_or_else(|_| Err("its structure is damaged".into()))
            });
        reader.map_err(|e| e.to_string())?.join().unwrap_or_else(|_| Err("its structure is damaged".into()))
    })?;
    let number = |i: usize| Some(i as u32 + 1);
    Ok(pages.iter().enumerate().flat_map(|(i, text)| plain::lines(text, number(i))).collect())
}

/// The text of each page.
fn pages(bytes: &[u8]) -> Result<Vec<String>, String> {
    let document = pdf_extract::Document::load_mem(bytes).map_err(|e| e.to_string())?;
    let numbers: Vec<u32> = document.get_pages().into_keys().collect();
    if numbers.is_empty() {
        return Err("it has no pages".into());
    }
    let known = catch_unwind(|| pdf_extract::extract_text_from_mem_by_pages(bytes));
    if let Ok(Ok(pages)) = known
        && pages.len() == numbers.len()
        && pages.iter().any(|page| !page.trim().is_empty())
    {
        return Ok(pages);
    }
    numbers.into_iter().map(|page| document.extract_text(&[page]).map_err(|e| e.to_string())).collect()
}
