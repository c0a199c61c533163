//! The description of the HTTP port, OpenAPI 3.1. A test holds it against the routes.

/// The document, as JSON.
pub const fn document() -> &'static str {
    include_str!("openapi.json")
}
