//! The workers of one tab: the client's own worker shares each piece of work with its helpers, which
//! hold the model and the client's texts, and joins what comes back.
//!
//! Nothing depends on a helper: what one does not answer is done here.

pub mod helper;
pub mod wire;

use std::future::Future;

use fl_core::adapter::Adapter;
use learner::{Encoded, Job, JobResult, Learner, LocalClient, Result, Step};

/// Most workers of one client, whatever is asked for.
pub const MOST_WORKERS: u32 = 32;

/// A client's helpers.
pub trait Helpers {
    /// How many wait for work.
    fn idle(&self) -> usize;

    /// Gives an idle helper a part of a job, by the client's adapter, at once; the future is its
    /// result, or none if it has to be done here.
    fn ask(&self, part: &Job, adapter: &Adapter) -> impl Future<Output = Option<JobResult>>;
}

/// Does [`LocalClient::step`] with what helpers there are.
///
/// # Errors
/// Those of [`LocalClient::step`].
pub async fn step(client: &mut LocalClient, helpers: &impl Helpers) -> Result<Step> {
    let workers = 1 + helpers.idle();
    if workers > 1
        && let Some(job) = client.job(workers)
        && let Some((learner, texts)) = client.at_work()
    {
        let result = share(learner, texts, &job, helpers).await;
        return client.complete(result);
    }
    client.step()
}

/// Does [`Learner::run`] with what helpers there are.
///
/// # Errors
/// Those of [`Learner::run`].
pub async fn share(
    learner: &Learner,
    texts: &[Encoded],
    job: &Job,
    helpers: &impl Helpers,
) -> Result<JobResult> {
    let split = job.split(texts, 1 + helpers.idle());
    let mut parts = split.parts.iter();
    // The lightest is for this worker, which has everything else to do too.
    let own = parts.next();
    let asked = parts.map(|part| (part, helpers.ask(part, learner.current())));
    // All are sent before the work here begins.
    let asked: Vec<_> = asked.collect();
    let mut results = Vec::with_capacity(split.parts.len());
    if let Some(part) = own {
        results.push(learner.run(texts, part)?);
    }
    for (part, answer) in asked {
        results.push(match answer.await {
            Some(result) => result,
            None => learner.run(texts, part)?,
        });
    }
    split.join(results)
}
