//! Whether JSON is as the document of the HTTP port says.

use serde_json::{Value, json};

/// Where a value differs from the schema of that name.
pub fn misfit(document: &Value, schema: &str, value: &Value) -> Option<String> {
    differs(document, &json!({"$ref": format!("#/components/schemas/{schema}")}), value)
}

/// Where a value differs from its schema, as far as types of JSON and names of properties go.
fn differs(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return differs(document, document.pointer(&reference[1..]).expect("it is there"), value);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let misfits: Vec<_> = choices.iter().map(|choice| differs(document, choice, value)).collect();
        return misfits.iter().all(Option::is_some).then(|| format!("none of {misfits:?}"));
    }
    if let Some(values) = schema["enum"].as_array() {
        return (!values.contains(value)).then(|| format!("{value} is none of {values:?}"));
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        one => vec![one.clone()],
    };
    let fits = |ty: &Value| match ty.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        other => panic!("no type of this document: {other:?} in {schema}"),
    };
    if !types.iter().any(fits) {
        return Some(format!("{value} is not of type {types:?}"));
    }
    let missing = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|name| value.get(name.as_str().unwrap_or("")).is_none());
    if let Some(name) = missing.filter(|_| value.is_object()) {
        return Some(format!("{name} is missing"));
    }
    let items = value.as_array().into_iter().flatten().map(|item| differs(document, &schema["items"], item));
    let named = value.as_object().into_iter().flatten().map(|(name, value)| match schema["properties"].get(name) {
        Some(schema) => differs(document, schema, value),
        None if schema["properties"].is_null() => None,
        None => Some(format!("{name} is not documented")),
    });
    items.chain(named).flatten().next()
}
