//! JSON schema as the TypeScript in which the models were shown their tools. Not a general translation: the
//! exact spelling, comments and indentation are what the models were trained on, so what the training format
//! does not know (`anyOf`, `$ref`, formats, ranges) is `any` or left out.

use serde_json::Value;

/// The type that `schema` describes. `indent` stands before the lines within it, all but the first.
pub(super) fn type_of(schema: &Value, indent: &str) -> String {
    if let Some(variants) = array(schema, "oneOf") {
        return variants
            .iter()
            .map(|variant| {
                let spelled = nullable_type(variant, &format!("{indent}   "));
                let default = variant.get("default").map(|default| format!("default: {default}"));
                let comment = trailing_comment([string(variant, "description"), default.as_deref()]);
                format!("\n{indent} | {spelled}{comment}")
            })
            .collect();
    }
    match schema.get("type") {
        Some(Value::String(name)) => match name.as_str() {
            "object" => object(schema, indent),
            "array" => match schema.get("items") {
                Some(items) => format!("{}[]", type_of(items, indent)),
                None => "Array<any>".into(),
            },
            "string" => string_or_enum(schema),
            "number" | "integer" => "number".into(),
            "boolean" => "boolean".into(),
            _ => "any".into(),
        },
        Some(Value::Array(names)) => union(names),
        _ => "any".into(),
    }
}

fn object(schema: &Value, indent: &str) -> String {
    let mut text = comment(string(schema, "description"), indent);
    text.push_str("{\n");
    let required = array(schema, "required").unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, property) in properties.into_iter().flatten() {
        let is_required = required.iter().any(|name| name.as_str() == Some(key));
        let name = format!("{key}{}", if is_required { "" } else { "?" });
        if let Some(title) = string(property, "title") {
            text.push_str(&format!("{indent}// {title}\n{indent}//\n"));
        }
        match array(property, "oneOf") {
            Some(variants) => {
                text.push_str(&examples(property, indent));
                text.push_str(&one_of_property(&name, property, variants, indent));
            }
            None => {
                text.push_str(&comment(string(property, "description"), indent));
                text.push_str(&examples(property, indent));
                let spelled = nullable_type(property, &format!("{indent}    "));
                let comment = trailing_comment([default(property).as_deref()]);
                text.push_str(&format!("{indent}{name}: {spelled},{comment}\n"));
            }
        }
    }
    text + indent + "}"
}

/// A property with `oneOf`: its variants below it, a line each, and a comma on a line of its own.
fn one_of_property(name: &str, property: &Value, variants: &[Value], indent: &str) -> String {
    let description = string(property, "description");
    let first = variants.first().and_then(|first| string(first, "description"));
    // A description that the first variant repeats is shown there.
    let above = description.filter(|_| description != first);

    let mut text = comment(above, indent);
    text.push_str(&comment(default(property).as_deref(), indent));
    text.push_str(&format!("{indent}{name}:\n"));
    for (at, variant) in variants.iter().enumerate() {
        let spelled = nullable_type(variant, &format!("{indent}   "));
        let own = string(variant, "description").filter(|own| Some(*own) != description && !(at == 0 && above.is_some()));
        let comment = trailing_comment([own, default(variant).as_deref()]);
        text.push_str(&format!("{indent} | {spelled}{comment}\n"));
    }
    text + indent + ",\n"
}

fn nullable_type(schema: &Value, indent: &str) -> String {
    let spelled = type_of(schema, indent);
    let nullable = schema.get("nullable").and_then(Value::as_bool) == Some(true);
    match nullable && !spelled.contains("null") {
        true => spelled + " | null",
        false => spelled,
    }
}

fn string_or_enum(schema: &Value) -> String {
    let values = array(schema, "enum").unwrap_or_default();
    let quoted: Vec<String> = values.iter().filter_map(|value| Some(format!("\"{}\"", value.as_str()?))).collect();
    match quoted.is_empty() {
        true => "string".into(),
        false => quoted.join(" | "),
    }
}

/// `["integer", "null"]`
fn union(names: &[Value]) -> String {
    let names: Vec<&str> = names.iter().filter_map(Value::as_str).map(|name| if name == "integer" { "number" } else { name }).collect();
    match names.is_empty() {
        true => "any".into(),
        false => names.join(" | "),
    }
}

/// `default: …`; a string is quoted, except where the type lists the values it may have.
fn default(schema: &Value) -> Option<String> {
    let is_enum = array(schema, "enum").is_some_and(|values| !values.is_empty());
    Some(match schema.get("default")? {
        Value::String(text) if is_enum => format!("default: {text}"),
        Value::String(text) => format!("default: \"{text}\""),
        other => format!("default: {other}"),
    })
}

fn examples(schema: &Value, indent: &str) -> String {
    let examples = array(schema, "examples").unwrap_or_default();
    if examples.is_empty() {
        return String::new();
    }
    let lines = examples.iter().filter_map(|example| Some(format!("{indent}// - \"{}\"\n", example.as_str()?)));
    format!("{indent}// Examples:\n") + &lines.collect::<String>()
}

/// A line before what it is about. Further lines of `text` are not marked: so the models have seen them.
fn comment(text: Option<&str>, indent: &str) -> String {
    text.map(|text| format!("{indent}// {text}\n")).unwrap_or_default()
}

fn trailing_comment<const N: usize>(parts: [Option<&str>; N]) -> String {
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!(" // {}", parts.join(" ")),
    }
}

fn string<'a>(schema: &'a Value, key: &str) -> Option<&'a str> {
    schema.get(key)?.as_str()
}

fn array<'a>(schema: &'a Value, key: &str) -> Option<&'a [Value]> {
    Some(schema.get(key)?.as_array()?)
}
