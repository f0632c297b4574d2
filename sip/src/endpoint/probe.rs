//! Asking somebody whether they are there.

use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::Endpoint;
use crate::agent::Probed;
use crate::error::Error;
use crate::shell::ToShell;

impl Endpoint {
    /// Asks `target`, a `sip:` or `sips:` URI as for [`crate::Dial`], what it can do (OPTIONS). Silence is told as a 408, after 32 s.
    ///
    /// # Errors
    /// [`Error::Target`] if there is no such address, [`Error::Stopped`].
    pub async fn probe(&self, target: &str) -> Result<Probed, Error> {
        let way = self.resolve(target).await?;
        let id = self.last_call.fetch_add(2, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let message = ToShell::Probe { id, target: target.to_owned(), way, reply };
        self.shell.send(message).map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)?
    }
}
