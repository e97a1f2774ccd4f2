//! Model and texts of a room: from the store of an earlier visit, or downloaded, always checked.

use fl_core::error::Fault;
use fl_core::protocol::{FileInfo, Welcome};
use fl_core::settings::Texts;
use futures_util::lock::Mutex;
use learner::texts::MOST_BYTES;
use learner::{BaseModel, LocalClient, WeightFile};

use crate::address::Origin;
use crate::download::{DownloadError, Incoming, Ledger, Promise};
use crate::faults::{self, NextTry};
use crate::host::Host;
use crate::messages::{Event, OwnTexts, Storage};
use crate::plan::Plan;

/// What several clients of one process share: each model and corpus is loaded once.
#[derive(Debug, Default)]
pub struct Library {
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    model: Option<(Plan, BaseModel)>,
    corpus: Option<(String, Vec<u8>)>,
}

impl Library {
    /// Nothing is loaded yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client with the model and texts that its welcome names.
    ///
    /// # Errors
    /// A fault in plain words when something cannot be had or used; what may pass by itself has
    /// been tried again before.
    pub async fn client<H: Host>(
        &self,
        host: &H,
        origin: &Origin,
        welcome: &Welcome,
        own: Option<&OwnTexts>,
    ) -> Result<LocalClient, Fault> {
        let settings = &welcome.settings;
        // Before megabytes come for nothing.
        let own = match (&settings.texts, own) {
            (Texts::Own, None) => return Err(faults::texts_needed()),
            (Texts::Own, Some(own)) => Some(own),
            (Texts::Corpus { .. }, _) => None,
        };
        let mut shelf = self.shelf.lock().await;
        let plan = Plan::new(&welcome.model).map_err(|e| faults::download(&e, NextTry::Never))?;
        let missing = match &shelf.model {
            Some((known, _)) => known != &plan,
            None => true,
        };
        let total = if missing { plan.bytes() } else { 0 };
        let mut bar = Ledger::new(total);
        if let Texts::Corpus { corpus, .. } = &settings.texts {
            let url = origin.corpus(corpus);
            if shelf.corpus.as_ref().is_none_or(|(known, _)| *known != url) {
                let promise = Promise::AtMost(format!("{corpus}/train.csv"), MOST_BYTES as u64);
                let content = fetch(host, &url, promise, &mut bar).await?;
                bar.complete(content.len() as u64, 0);
                show(host, &mut bar);
                shelf.corpus = Some((url, content));
            }
        }
        if missing {
            let model = load_model(host, origin, &welcome.model.name, &plan, &mut bar).await?;
            shelf.model = Some((plan, model));
        }
        let (Some((_, base)), corpus) = (&shelf.model, &shelf.corpus) else {
            return Err(Fault::internal(
                "The model is not there after it was loaded.",
            ));
        };
        let content: &[u8] = match (own, corpus) {
            (Some(own), _) => own.content.as_bytes(),
            (None, Some((_, content))) => content,
            (None, None) => &[],
        };
        let client = LocalClient::new(base.clone(), settings, welcome.shard, content);
        client.map_err(|error| match own {
            Some(own) if is_about_texts(&error) => faults::unusable_texts(&own.file, &error),
            _ => faults::unusable_model(&error),
        })
    }
}

fn is_about_texts(error: &learner::LearnerError) -> bool {
    use learner::LearnerError as Error;
    matches!(
        error,
        Error::TextsSize { .. }
            | Error::TextsEmpty { .. }
            | Error::TextsColumn { .. }
            | Error::Argument { what: "texts", .. }
    )
}

async fn load_model<H: Host>(
    host: &H,
    origin: &Origin,
    name: &str,
    plan: &Plan,
    bar: &mut Ledger,
) -> Result<BaseModel, Fault> {
    show(host, bar);
    let mut storage = Storage::Cache;
    let mut contents = Vec::new();
    for file in plan.files() {
        let url = origin.model_file(name, &file.name);
        let key = format!("{url}?sha256={}", file.sha256);
        let content = match kept(host, &key, file).await {
            Some(content) => content,
            None => {
                let content = fetch(host, &url, Promise::Exactly(file.clone()), bar).await?;
                if let Err(error) = host.keep(&key, &content).await {
                    let reason = error.to_string();
                    storage = Storage::Memory { reason };
                }
                content
            }
        };
        contents.push(content);
        bar.complete(file.bytes, file.bytes);
        show(host, bar);
    }
    host.emit(Event::Storage(storage));
    let named = plan.files().map(|file| &*file.name);
    let files: Vec<(&str, &[u8])> = named.zip(contents.iter().map(Vec::as_slice)).collect();
    host.share_model(&files);
    // In the order of the plan: configuration, tokenizer, weights.
    let weights = plan.weights.iter().zip(&contents[2..]);
    let weights = weights.map(|(file, content)| WeightFile::from_bytes(&*file.name, content));
    BaseModel::from_files(&contents[0], &contents[1], weights)
        .map_err(|error| faults::unusable_model(&error))
}

/// The file as an earlier visit kept it, unless it is damaged.
async fn kept<H: Host>(host: &H, key: &str, file: &FileInfo) -> Option<Vec<u8>> {
    let content = host.kept(key).await?;
    let mut incoming = Incoming::new(Promise::Exactly(file.clone())).ok()?;
    incoming.push(&content).ok()?;
    incoming.finish().ok()
}

/// Downloads until it comes, or until another try is of no use.
async fn fetch<H: Host>(
    host: &H,
    url: &str,
    promise: Promise,
    bar: &mut Ledger,
) -> Result<Vec<u8>, Fault> {
    let mut failures = 0;
    loop {
        let error = match attempt(host, url, &promise, bar).await {
            Ok(content) => return Ok(content),
            Err(error) => error,
        };
        failures += 1;
        let Some(pause) = error.retry(failures) else {
            return Err(faults::download(&error, NextTry::Never));
        };
        let next = NextTry::After(pause);
        host.emit(Event::Fault(faults::download(&error, next)));
        host.sleep(pause).await;
    }
}

async fn attempt<H: Host>(
    host: &H,
    url: &str,
    promise: &Promise,
    bar: &mut Ledger,
) -> Result<Vec<u8>, DownloadError> {
    let what = match promise {
        Promise::Exactly(file) => &file.name,
        Promise::AtMost(name, _) => name,
    };
    let mut incoming = Incoming::new(promise.clone())?;
    bar.at(0);
    let take = |piece: &[u8]| {
        incoming.push(piece)?;
        bar.at(incoming.len());
        show(host, bar);
        Ok(())
    };
    host.fetch(url, what, take).await?;
    incoming.finish()
}

fn show<H: Host>(host: &H, bar: &mut Ledger) {
    if let Some((loaded, total)) = bar.news() {
        host.emit(Event::Download { loaded, total });
    }
}
