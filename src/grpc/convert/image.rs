//! Images of a request: where they are, what they are, and how much of them there may be.

use super::super::pb;
use super::super::violation::Violations;
use crate::prompt::{Image, ImageDetail, ImageSource, MediaType};

/// Anthropic's limit for one image, the smallest of the three.
const MAX_IMAGE_BYTES: usize = 5 << 20;
/// Gemini's limit for what stands in a request, the smallest of the three.
const MAX_IMAGES_BYTES: usize = 20 << 20;
const MAX_URL_BYTES: usize = 4096;
const SCHEMES: [&str; 3] = ["https://", "http://", "gs://"];

/// What a request's images have taken so far.
#[derive(Default)]
pub(super) struct ImageBudget {
    bytes: usize,
}

pub(super) fn image(
    violations: &mut Violations,
    budget: &mut ImageBudget,
    path: &str,
    image: pb::Image,
) -> Option<Image> {
    let detail = match image.detail() {
        pb::ImageDetail::Unspecified => None,
        pb::ImageDetail::Low => Some(ImageDetail::Low),
        pb::ImageDetail::High => Some(ImageDetail::High),
    };
    let named = MediaType::named(&image.media_type);
    if named.is_none() && !image.media_type.is_empty() {
        violations.add(format!("{path}.media_type"), "must be image/png, image/jpeg, image/gif or image/webp");
        return None;
    }
    let source = match image.source {
        None => {
            violations.add(path, "is missing: give `url` or `data`");
            return None;
        }
        Some(pb::image::Source::Url(url)) => {
            check_url(violations, &format!("{path}.url"), &url)?;
            ImageSource::Url { url, media_type: named }
        }
        Some(pb::image::Source::Data(bytes)) => {
            let media_type = check_bytes(violations, budget, path, &bytes, named)?;
            ImageSource::Bytes { bytes: bytes.into(), media_type }
        }
    };
    Some(Image { source, detail })
}

/// Nothing is fetched here, so that an address inside our own network is no danger to us.
fn check_url(violations: &mut Violations, path: &str, url: &str) -> Option<()> {
    let clean = url.len() <= MAX_URL_BYTES && url.bytes().all(|byte| byte.is_ascii_graphic());
    if clean && SCHEMES.iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme)) {
        return Some(());
    }
    violations.add(
        path,
        format!("must begin with https://, http:// or gs:// and have at most {MAX_URL_BYTES} bytes of printable ASCII"),
    );
    None
}

fn check_bytes(
    violations: &mut Violations,
    budget: &mut ImageBudget,
    path: &str,
    bytes: &[u8],
    named: Option<MediaType>,
) -> Option<MediaType> {
    let size = bytes.len();
    if size > MAX_IMAGE_BYTES {
        violations.add(format!("{path}.data"), format!("has {size} bytes, at most {MAX_IMAGE_BYTES} are allowed"));
        return None;
    }
    budget.bytes = budget.bytes.saturating_add(size);
    if budget.bytes > MAX_IMAGES_BYTES {
        let (bytes, most) = (budget.bytes, MAX_IMAGES_BYTES);
        violations.add(
            format!("{path}.data"),
            format!("makes {bytes} bytes of images, at most {most} are allowed in a request"),
        );
        return None;
    }
    let found = MediaType::of(bytes);
    match (found, named) {
        (Some(found), None) => Some(found),
        (Some(found), Some(named)) if found == named => Some(found),
        (None, _) => {
            violations.add(format!("{path}.data"), "is not a PNG, JPEG, GIF or WebP image");
            None
        }
        (Some(found), Some(named)) => {
            let (found, named) = (found.as_str(), named.as_str());
            violations.add(format!("{path}.media_type"), format!("is {named}, but the data are {found}"));
            None
        }
    }
}
