//! The site that `--self-contained` shows.

use bytes::Bytes;

/// The last number in `numbers.txt`, of which each has a line of eight bytes.
const NUMBERS: u32 = 131_072;

/// The objects, each under its key.
pub(crate) fn objects() -> [(&'static str, Bytes); 6] {
    let file = Bytes::from_static;
    [
        ("index.html", file(include_bytes!("site/index.html"))),
        (
            "about/index.html",
            file(include_bytes!("site/about/index.html")),
        ),
        ("404.html", file(include_bytes!("site/404.html"))),
        ("style.css", file(include_bytes!("site/style.css"))),
        ("harbour.svg", file(include_bytes!("site/harbour.svg"))),
        ("numbers.txt", numbers().into()),
    ]
}

fn numbers() -> String {
    (0..NUMBERS)
        .map(|number| format!("{number:07}\n"))
        .collect()
}

/// The media type by what a path ends with.
pub(crate) fn type_of(path: &str) -> &'static str {
    match path.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        Some((_, "txt")) => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_number_is_known() {
        let numbers = numbers();
        assert_eq!(numbers.len(), 1 << 20);
        assert_eq!(&numbers[8_000..8_016], "0001000\n0001001\n");
    }

    #[test]
    fn each_object_has_content_and_a_type() {
        for (key, content) in objects() {
            assert!(!content.is_empty(), "{key}");
            assert_ne!(type_of(key), "application/octet-stream", "{key}");
        }
    }
}
