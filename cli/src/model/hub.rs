//! A model repository of the hub over HTTP: its list of files, their sizes and checksums, and
//! their content from any byte on.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use hf_hub::api::RepoInfo;
use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION, RANGE,
};
use ureq::http::{HeaderMap, Method, Response, Uri};
use ureq::{Agent, Body};

use super::checksum::Checksum;

/// Where models come from unless another place is named.
const ENDPOINT: &str = "https://huggingface.co";
/// Redirects followed in a row.
const REDIRECTS: usize = 5;
/// How long the hub may take to begin an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Most bytes of a repository's description.
const LISTING_LIMIT: u64 = 16 << 20;

/// A repository at a revision.
pub struct Hub {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
    name: String,
    revision: String,
    repo: ApiRepo,
}

/// What the hub says of a file before it sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Its size.
    pub bytes: u64,
    /// Its checksum.
    pub checksum: Checksum,
}

/// Why something did not come.
#[derive(Debug)]
pub enum Trouble {
    /// It may come at another try.
    Passing(anyhow::Error),
    /// It will not.
    Lasting(anyhow::Error),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Lasting(error)
    }
}

impl Hub {
    /// The repository `name` at `revision`, at `endpoint` or else where the environment says.
    pub fn new(endpoint: Option<&str>, name: &str, revision: &str) -> Result<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = endpoint
            .map(str::to_owned)
            .or_else(|| variable("HF_ENDPOINT"));
        let endpoint = endpoint.unwrap_or_else(|| ENDPOINT.into());
        let endpoint = endpoint.trim_end_matches('/');
        if !is_address(endpoint) {
            bail!("{endpoint:?} is no address of a hub; expected one such as {ENDPOINT}");
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(ANSWER))
            .timeout_recv_response(Some(ANSWER))
            .user_agent(concat!("lpfl/", env!("CARGO_PKG_VERSION")));
        let token = variable("HF_TOKEN").or_else(stored_token);
        Ok(Self {
            agent: config.build().into(),
            repo: repo(endpoint, token.clone(), name, revision)?,
            endpoint: endpoint.into(),
            token,
            name: name.into(),
            revision: revision.into(),
        })
    }

    /// The names of the repository's files; from here on its files are those of the commit that
    /// the revision means now.
    pub fn list(&mut self) -> Result<Vec<String>> {
        let request = self.repo.info_request().config();
        let request = request
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER));
        let mut response = request
            .build()
            .call()
            .map_err(|error| anyhow!("{} cannot be reached ({error})", self.endpoint))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(self.refusal(status, response.headers(), None));
        }
        let body = response.body_mut().with_config().limit(LISTING_LIMIT);
        let info: RepoInfo = body
            .read_json()
            .map_err(|error| anyhow!("{} gives no list of files ({error})", self.endpoint))?;
        if info.sha.len() != 40 || !info.sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            bail!("{} names no commit: expected 40 digits", self.endpoint);
        }
        let token = self.token.clone();
        self.repo = repo(&self.endpoint, token, &self.name, &info.sha)?;
        self.revision = info.sha;
        Ok(info
            .siblings
            .into_iter()
            .map(|file| file.rfilename)
            .collect())
    }

    /// The commit, once the files are listed.
    pub fn commit(&self) -> &str {
        &self.revision
    }

    /// Size and checksum of a file.
    pub fn promise(&self, file: &str) -> Result<Promise, Trouble> {
        let response = self.request(&Method::HEAD, file, 0)?;
        let headers = response.headers();
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        // Of a large file that is kept elsewhere, the linked ones are right.
        let tag = header("x-linked-etag").or_else(|| header(ETAG.as_str()));
        let size = header("x-linked-size").or_else(|| header(CONTENT_LENGTH.as_str()));
        let bytes = size.and_then(|size| size.parse().ok());
        let bytes = bytes.ok_or_else(|| anyhow!("{file}: the hub does not say its size"))?;
        let checksum = tag.and_then(Checksum::from_tag).ok_or_else(|| {
            let got = tag.unwrap_or("none");
            anyhow!("{file}: expected a checksum from the hub, got the tag {got:?}")
        })?;
        Ok(Promise { bytes, checksum })
    }

    /// The content from byte `from` on, or from the first when the hub cannot do that: where it
    /// begins, and the content.
    pub fn open(&self, file: &str, from: u64, promise: &Promise) -> Result<(u64, Body), Trouble> {
        let response = self.request(&Method::GET, file, from)?;
        match response.status().as_u16() {
            206 => {
                let range = response.headers().get(CONTENT_RANGE);
                let range = range.and_then(|range| range.to_str().ok());
                let begin = range.and_then(|range| range.strip_prefix("bytes "));
                let expected = format!(
                    "{from}-{}/{}",
                    promise.bytes.saturating_sub(1),
                    promise.bytes
                );
                if begin != Some(&expected) {
                    let got = range.unwrap_or("none");
                    let error = anyhow!("{file}: expected the bytes {expected}, got {got:?}");
                    return Err(Trouble::Lasting(error));
                }
                Ok((from, response.into_body()))
            }
            _ => Ok((0, response.into_body())),
        }
    }

    /// Asks for a file and follows where the hub leads; the token goes to the hub only.
    fn request(&self, method: &Method, file: &str, from: u64) -> Result<Response<Body>, Trouble> {
        let mut url = self.repo.url(file);
        for _ in 0..=REDIRECTS {
            let response = self.call(method, &url, from).map_err(|error| {
                Trouble::Passing(anyhow!(
                    "{file}: {} cannot be reached ({error})",
                    host(&url)
                ))
            })?;
            let status = response.status();
            let headers = response.headers();
            if status.is_success() {
                return Ok(response);
            }
            if !status.is_redirection() {
                let error = self.refusal(status.as_u16(), headers, Some(file));
                let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
                return Err(match passing {
                    true => Trouble::Passing(error),
                    false => Trouble::Lasting(error),
                });
            }
            // Signed addresses are good for GET only, and all is said here.
            if method == Method::HEAD && headers.contains_key("x-linked-etag") {
                return Ok(response);
            }
            let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
            url = redirected(&url, location.unwrap_or_default())
                .with_context(|| format!("{file}: the hub leads to no address"))?;
        }
        let error = anyhow!("{file}: the hub leads on and on; expected at most {REDIRECTS} times");
        Err(Trouble::Lasting(error))
    }

    fn call(&self, method: &Method, url: &str, from: u64) -> Result<Response<Body>, ureq::Error> {
        let mut request = match *method {
            Method::HEAD => self.agent.head(url),
            _ => self.agent.get(url),
        };
        // A compressed content would have another size and no ranges.
        request = request.header(ACCEPT_ENCODING, "identity");
        if let Some(token) = &self.token
            && same_origin(url, &self.endpoint)
        {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        request.call()
    }

    /// What a refusal means, and what helps.
    fn refusal(&self, status: u16, headers: &HeaderMap, file: Option<&str>) -> anyhow::Error {
        let Self { name, endpoint, .. } = self;
        let code = headers
            .get("x-error-code")
            .and_then(|code| code.to_str().ok());
        match (code.unwrap_or_default(), status, file) {
            ("GatedRepo", ..) => anyhow!(
                "{name} is open to those who accepted its terms; accept them at {endpoint}/{name} \
                 and put a token of your account into HF_TOKEN"
            ),
            ("RevisionNotFound", ..) => anyhow!(
                "{name} has no revision {:?}; name another one with --revision",
                self.revision
            ),
            ("EntryNotFound", _, Some(file)) => anyhow!("{name} has no file {file}"),
            ("RepoNotFound", ..) | (_, 401 | 404, None) => anyhow!(
                "{endpoint} has no model {name}, or a private one; check the name, or put a token \
                 that may read it into HF_TOKEN"
            ),
            (_, 401, _) => anyhow!("{endpoint} refuses the token; put a valid one into HF_TOKEN"),
            (_, status, file) => {
                let what = file.unwrap_or(name);
                anyhow!("{what}: expected the file from {endpoint}, got status {status}")
            }
        }
    }
}

fn repo(endpoint: &str, token: Option<String>, name: &str, revision: &str) -> Result<ApiRepo> {
    // The cache's folder is only named: nothing is kept there.
    let api = ApiBuilder::from_cache(Cache::new(std::env::temp_dir()))
        .with_endpoint(endpoint.into())
        .with_token(token)
        .build()?;
    let repo = Repo::with_revision(name.into(), RepoType::Model, revision.into());
    Ok(api.repo(repo))
}

/// The token that `hf auth login` has stored.
fn stored_token() -> Option<String> {
    // Without either, the library gives up the program.
    let has_home = std::env::var_os("HF_HOME").is_some() || std::env::home_dir().is_some();
    has_home.then(Cache::from_env)?.token()
}

fn is_address(text: &str) -> bool {
    let uri = text.parse::<Uri>().ok();
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
    })
}

fn host(url: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    let authority = uri.and_then(|uri| uri.authority().map(ToString::to_string));
    authority.unwrap_or_default()
}

fn same_origin(a: &str, b: &str) -> bool {
    let origin = |url: &str| {
        let uri = url.parse::<Uri>().ok()?;
        Some((uri.scheme()?.clone(), uri.authority()?.clone()))
    };
    origin(a).is_some_and(|a| origin(b) == Some(a))
}

/// Where a redirect leads: a whole address, never from https to http, or a path of the same host.
fn redirected(from: &str, location: &str) -> Result<String> {
    let from: Uri = from.parse()?;
    let secure = from.scheme_str() == Some("https");
    if is_path(location) {
        let (scheme, authority) = (from.scheme_str(), from.authority());
        let (Some(scheme), Some(authority)) = (scheme, authority) else {
            bail!("{from} has no host");
        };
        return Ok(format!("{scheme}://{authority}{location}"));
    }
    let to: Uri = location.parse()?;
    match to.scheme_str() {
        Some("https") => Ok(location.into()),
        Some("http") if !secure => Ok(location.into()),
        _ => bail!("expected an address of http or https, got {location:?}"),
    }
}

fn is_path(location: &str) -> bool {
    location.starts_with('/') && !location.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_the_web() {
        let from = "https://hub.example/a/b";
        let to = |location| redirected(from, location).ok();
        assert_eq!(to("/c?d=1").as_deref(), Some("https://hub.example/c?d=1"));
        let cdn = "https://cdn.example/x?sig=1";
        assert_eq!(to(cdn).as_deref(), Some(cdn));
        for bad in [
            "",
            "http://hub.example/",
            "file:///etc/passwd",
            "//evil.example/",
            "c",
            "/a b",
        ] {
            let url = to(bad);
            let is_bad = url.as_deref().is_none_or(|url| url.parse::<Uri>().is_err());
            assert!(is_bad, "{bad}: {url:?}");
        }
    }

    #[test]
    fn token_goes_to_the_hub_only() {
        let hub = "https://hub.example";
        assert!(same_origin("https://hub.example/a/resolve/main/b", hub));
        for other in [
            "http://hub.example/",
            "https://hub.example.evil/",
            "https://hub.example:8443/",
            "https://cdn.hub.example/",
        ] {
            assert!(!same_origin(other, hub), "{other}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "hub.example",
            "ftp://hub.example",
            "http://",
            "https://a?b=c",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
        assert!(is_address("http://127.0.0.1:8080/mirror"));
    }
}
