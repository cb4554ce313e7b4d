//! Reads `multipart/byteranges` as strictly as a viewer may, and knows nothing of what writes it.

use std::ops::Range;

/// A part: its type, where it lies, of how many, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) content_type: Option<String>,
    pub(crate) range: Range<usize>,
    pub(crate) of: usize,
    pub(crate) bytes: Vec<u8>,
}

/// The parts of a body, or what is wrong with it.
pub(crate) fn parse(content_type: &str, mut body: &[u8]) -> Result<Vec<Part>, String> {
    let boundary = content_type
        .strip_prefix("multipart/byteranges; boundary=")
        .ok_or(content_type)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    if !(16..=70).contains(&boundary.len()) || !boundary.bytes().all(is_token) {
        return Err(format!("boundary {boundary}"));
    }
    let delimiter = format!("\r\n--{boundary}");
    let mut parts = Vec::new();
    body = body
        .strip_prefix(&delimiter.as_bytes()[2..])
        .ok_or("no first delimiter")?;
    while body != b"--\r\n" {
        body = body.strip_prefix(b"\r\n").ok_or("no line break")?;
        let mut part = Part {
            content_type: None,
            range: 0..0,
            of: 0,
            bytes: Vec::new(),
        };
        loop {
            let end = find(body, b"\r\n").ok_or("no end of a line")?;
            let line = std::str::from_utf8(&body[..end]).map_err(|error| error.to_string())?;
            body = &body[end + 2..];
            if line.is_empty() {
                break;
            }
            if line.contains(['\r', '\n']) {
                return Err(format!("a bare line break in {line:?}"));
            }
            match line.split_once(": ").ok_or(line)? {
                ("Content-Type", value) if part.content_type.is_none() => {
                    part.content_type = Some(value.to_owned());
                }
                ("Content-Range", value) if part.of == 0 => {
                    (part.range, part.of) = content_range(value)?;
                }
                _ => return Err(format!("field {line:?}")),
            }
        }
        let end = find(body, delimiter.as_bytes()).ok_or("no delimiter behind a part")?;
        part.bytes = body[..end].to_vec();
        if part.bytes.len() != part.range.len() || part.of == 0 {
            return Err(format!("{} bytes for {:?}", part.bytes.len(), part.range));
        }
        body = &body[end + delimiter.len()..];
        parts.push(part);
    }
    Ok(parts)
}

/// The range of a `Content-Range`, and the length of the whole.
pub(crate) fn content_range(value: &str) -> Result<(Range<usize>, usize), String> {
    let number = |text: &str| text.parse::<usize>().map_err(|_| value.to_owned());
    let (range, of) = value
        .strip_prefix("bytes ")
        .and_then(|rest| rest.split_once('/'))
        .ok_or(value)?;
    let (first, last) = range.split_once('-').ok_or(value)?;
    let (first, last, of) = (number(first)?, number(last)?, number(of)?);
    if first > last || last >= of {
        return Err(value.to_owned());
    }
    Ok((first..last + 1, of))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|here| here == wanted)
}
