//! Where the time of an answer went, as bars, and why the caller's turn was taken for over; for a terminal of any width.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use unicode_linebreak::linebreaks;

use crate::call::endpointing::EndOfTurn;
use crate::call::event::Timings;
use crate::qa::width;

/// More reasons than these are noise.
const REASONS: usize = 3;
/// Longer bars say no more.
const LONGEST_BAR: usize = 40;
/// Shorter bars say nothing: then there are only figures.
const SHORTEST_BAR: usize = 10;

/// A line for each stage of an answer that was passed, `indent` from the left, in at most `columns` columns. Stages overlap,
/// because an answer is prepared before the end of the caller's turn is certain; each bar begins where what it waits for ends.
pub fn waterfall(timings: &Timings, indent: usize, columns: usize) -> String {
    let Timings { eou_delay, transcription_delay, llm_ttft, tts_ttfb, turn_latency } = *timings;
    // A stage that was not passed kept nobody waiting.
    let begin = Duration::ZERO;
    let transcript = transcription_delay.unwrap_or(begin);
    let clause = llm_ttft.unwrap_or(transcript);
    let audio = tts_ttfb.unwrap_or(clause);
    let stages = [
        ("end of turn", begin, eou_delay),
        ("transcript", begin, transcription_delay),
        ("first clause", transcript, llm_ttft),
        ("first audio", clause, tts_ttfb),
        ("on the line", audio.max(eou_delay.unwrap_or(begin)), turn_latency),
    ];
    let whole =
        stages.iter().filter_map(|stage| stage.2).max().unwrap_or(begin).max(Duration::from_millis(1));
    let figures = indent + "first clause 12345 ms  ".len();
    let room = columns.saturating_sub(figures).min(LONGEST_BAR);
    let scaled = |time: Duration| time.as_millis() as usize * room;
    let whole = whole.as_millis() as usize;
    let mut out = String::new();
    for (name, from, to) in stages {
        let Some(to) = to else { continue };
        // Writing to a String cannot fail.
        let _ = write!(out, "{:indent$}{name:<12} {:>5} ms", "", to.as_millis());
        if room >= SHORTEST_BAR {
            let first = (scaled(from.min(to)) / whole).min(room - 1);
            let last = scaled(to).div_ceil(whole).max(first + 1);
            let _ = write!(out, "  {}{}", " ".repeat(first), "=".repeat(last - first));
        }
        out.push('\n');
    }
    out
}

/// Why a turn was taken for over: the silence, how sure it was, the sign in the words, and what weighed most for it (+) or
/// against it (-), in log-odds.
pub fn reasons(why: &EndOfTurn, because: &str) -> String {
    let strongest = strongest(&why.logits);
    let sure = (why.probability * 100.0).round();
    let over = format!("over after {} ms, {sure} % sure, {because}", why.silence_ms);
    if strongest.is_empty() { over } else { format!("{over}: {strongest}") }
}

/// The heaviest of `logits`, in order of their weight.
pub fn strongest(logits: &BTreeMap<String, f32>) -> String {
    let mut logits: Vec<_> = logits.iter().collect();
    logits.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    let heaviest = logits.iter().take(REASONS);
    heaviest
        .map(|(name, x)| format!("{}={x:+.2}", name.trim_start_matches("log_")))
        .collect::<Vec<_>>()
        .join(", ")
}

/// `text` in lines of at most `columns` columns, broken where its script may be (UAX #14); a longer word stays whole.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut from = 0;
    for (to, _) in linebreaks(text) {
        let word = &text[from..to];
        from = to;
        if lines.last().is_some_and(|line| width(line) + width(word.trim_end()) > columns) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::endpointing::Because;

    #[expect(clippy::unnecessary_wraps, reason = "the stages of a turn are optional")]
    fn ms(ms: u64) -> Option<Duration> {
        Some(Duration::from_millis(ms))
    }

    fn timings() -> Timings {
        Timings {
            eou_delay: ms(280),
            transcription_delay: ms(200),
            llm_ttft: ms(210),
            tts_ttfb: ms(300),
            turn_latency: ms(320),
        }
    }

    #[test]
    fn each_bar_begins_where_what_it_waits_for_ends() {
        assert_eq!(
            waterfall(&timings(), 4, 67),
            "    end of turn    280 ms  ===================================\n    \
                 transcript     200 ms  =========================\n    \
                 first clause   210 ms                           ==\n    \
                 first audio    300 ms                            ============\n    \
                 on the line    320 ms                                       ===\n"
        );
    }

    #[test]
    fn a_narrow_terminal_gets_shorter_bars_and_at_last_none() {
        assert_eq!(
            waterfall(&timings(), 2, 37),
            "  end of turn    280 ms  ===========\n  \
               transcript     200 ms  ========\n  \
               first clause   210 ms         =\n  \
               first audio    300 ms         =====\n  \
               on the line    320 ms             =\n"
        );
        assert_eq!(waterfall(&timings(), 2, 24).lines().next(), Some("  end of turn    280 ms"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let odd = Timings { eou_delay: ms(99_999), transcription_delay: ms(0), ..timings() };
        for columns in 24..120 {
            for timings in [timings(), odd, Timings { turn_latency: ms(0), ..Timings::default() }] {
                for line in waterfall(&timings, 2, columns).lines() {
                    assert!(width(line) <= columns, "{columns}: {line}");
                }
            }
        }
    }

    #[test]
    fn a_turn_without_times_has_no_bars() {
        assert_eq!(waterfall(&Timings::default(), 2, 80), "");
    }

    #[test]
    fn the_three_strongest_reasons_are_told_with_their_sign() {
        let logits = [("log_silence", 1.5), ("closed", 0.75), ("voice", -2.0), ("drop_db", 0.1)];
        let why = EndOfTurn {
            silence_ms: 260,
            probability: 0.93,
            because: Because::Complete,
            logits: logits.map(|(name, x)| (name.to_owned(), x)).into(),
        };
        assert_eq!(
            reasons(&why, "complete"),
            "over after 260 ms, 93 % sure, complete: voice=-2.00, silence=+1.50, closed=+0.75"
        );
        let bare = EndOfTurn { logits: std::collections::BTreeMap::new(), ..why };
        assert_eq!(reasons(&bare, "complete"), "over after 260 ms, 93 % sure, complete");
    }

    #[test]
    fn text_is_broken_at_spaces_and_between_chinese_characters() {
        assert_eq!(wrap("the battery is cold", 12), ["the battery", "is cold"]);
        assert_eq!(wrap("低温会影响续航，请预热", 10), ["低温会影响", "续航，请预", "热"]);
        assert_eq!(wrap("低温会影响，续航", 10), ["低温会影", "响，续航"], "no line begins with a comma");
        assert_eq!(wrap("预热battery", 8), ["预热", "battery"]);
        assert_eq!(wrap("an abcdefgh", 3), ["an", "abcdefgh"], "a longer word stays whole");
        assert!(wrap("", 10).is_empty());
    }
}
