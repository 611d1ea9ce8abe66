//! The Hugging Face Hub: the cache that other programs on this machine have filled, then the network.
//!
//! `hf-hub` lends the cache's layout. Its own download is not used: it has no connect timeout, checks no hash, and its
//! URL builder comes only together with an HTTP client of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use hf_hub::{Cache, Repo, RepoType};
use reqwest::{Client, Response};
use tokio::sync::mpsc;

use super::Order;
use crate::model::error::{FetchError, one_line};
use crate::model::fetch::PullOptions;
use crate::model::manifest::FileSpec;
use crate::model::partial::Partial;
use crate::model::staging::blocking;

/// Received pieces (of some 16 KB) that may wait for the disk.
const PIECES_IN_FLIGHT: usize = 64;

pub(super) async fn fetch(repository: &str, revision: &str, order: &Order<'_>) -> Result<(), FetchError> {
    let client = client(order.options).map_err(|error| FetchError::Source(one_line(&error)))?;
    for spec in order.files {
        if let Some(path) = cached(repository, revision, spec, order.options)
            && copy(&path, spec, order).await.is_ok()
        {
            continue;
        }
        let url = url(&order.options.hub_endpoint, repository, revision, &spec.path);
        download(&client, &url, spec, order).await?;
    }
    Ok(())
}

/// `{endpoint}/{repository}/resolve/{revision}/{path}`, as `hf-hub` and the Hub's own clients form it.
fn url(endpoint: &str, repository: &str, revision: &str, path: &str) -> String {
    let revision = revision.replace('/', "%2F");
    format!("{}/{repository}/resolve/{revision}/{path}", endpoint.trim_end_matches('/'))
}

fn cached(repository: &str, revision: &str, spec: &FileSpec, options: &PullOptions) -> Option<PathBuf> {
    let cache = Cache::new(options.hub_cache.clone()?);
    let repo = Repo::with_revision(repository.to_owned(), RepoType::Model, revision.to_owned());
    let cached = cache.repo(repo);
    // A commit has no entry under refs: its snapshot is a folder of its own name.
    cached.get(&spec.path).or_else(|| Some(spec.within(&cached.pointer_path(revision)))).filter(|path| path.is_file())
}

/// A cached file that is not the right one is no failure: the network may have it.
async fn copy(path: &Path, spec: &FileSpec, order: &Order<'_>) -> Result<(), FetchError> {
    let (staging, progress, spec) = (Arc::clone(order.staging), Arc::clone(order.progress), spec.clone());
    blocking(path, move |path| {
        let unreadable = |error| FetchError::Source(format!("{}: {error}", path.display()));
        let file = std::fs::File::open(&path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        let mut partial = Partial::create(&staging, &spec, Some(bytes), &progress)?;
        partial.write_all_of(file)?;
        partial.commit()
    })
    .await
}

/// No credentials are sent, redirects are followed (the Hub keeps large files elsewhere), but never from TLS to plain.
fn client(options: &PullOptions) -> reqwest::Result<Client> {
    // reqwest is built without a TLS provider of its own. A second call changes nothing and says so: ignored.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = Client::builder()
        .user_agent(concat!("semroute/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.idle_timeout)
        .https_only(options.hub_endpoint.starts_with("https://"))
        .referer(false);
    // A mirror on this machine is never behind the proxy that the environment may name.
    if is_loopback(&options.hub_endpoint) {
        client = client.no_proxy();
    }
    client.build()
}

fn is_loopback(endpoint: &str) -> bool {
    let host = reqwest::Url::parse(endpoint).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

async fn download(client: &Client, url: &str, spec: &FileSpec, order: &Order<'_>) -> Result<(), FetchError> {
    let failed = |error| FetchError::Source(format!("{url}: {}", cause(error, order.options)));
    let response = client.get(url).send().await.map_err(failed)?;
    let status = response.status();
    if !status.is_success() {
        let hint = match status.as_u16() {
            401 | 403 => " (no such repository, or not a public one: no credentials are sent)",
            _ => "",
        };
        return Err(FetchError::Source(format!("{url}: HTTP {status}{hint}")));
    }
    let bytes = response.content_length();
    if let (Some(expected), Some(found)) = (spec.size, bytes)
        && expected != found
    {
        return Err(FetchError::Source(format!("{url}: expected {expected} bytes, found {found}")));
    }
    let (sender, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
    let (staging, progress, spec) = (Arc::clone(order.staging), Arc::clone(order.progress), spec.clone());
    let dir = staging.dir().to_owned();
    let written = blocking(&dir, move |_| {
        let partial = Partial::create(&staging, &spec, bytes, &progress)?;
        write(partial, receiver)
    });
    let (received, written) = tokio::join!(receive(response, sender), written);
    // The writer's error is the cause if both failed: the receiver then stopped because nobody listened.
    let partial = written?;
    received.map_err(failed)?;
    blocking(&dir, move |_| partial.commit()).await
}

async fn receive(response: Response, sender: mpsc::Sender<Vec<u8>>) -> reqwest::Result<()> {
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        if sender.send(piece?.to_vec()).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Ends when the sender is gone, be it at the end of the file or in the middle: only the caller may commit.
fn write(mut partial: Partial, mut pieces: mpsc::Receiver<Vec<u8>>) -> Result<Partial, FetchError> {
    while let Some(piece) = pieces.blocking_recv() {
        partial.write(&piece)?;
    }
    Ok(partial)
}

fn cause(error: reqwest::Error, options: &PullOptions) -> String {
    if error.is_connect() && error.is_timeout() {
        return format!("no connection within {:?}", options.connect_timeout);
    }
    if error.is_timeout() {
        return format!("nothing came for {:?}", options.idle_timeout);
    }
    one_line(&error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_the_hubs() {
        assert_eq!(
            url("https://huggingface.co/", "owner/name", "refs/pr/1", "1_Pooling/config.json"),
            "https://huggingface.co/owner/name/resolve/refs%2Fpr%2F1/1_Pooling/config.json"
        );
    }

    #[test]
    fn loopback_is_told_from_the_network() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:1", true),
            ("http://localhost", true),
            ("https://huggingface.co", false),
            ("http://10.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(endpoint), expected, "{endpoint}");
        }
    }
}
