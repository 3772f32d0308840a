//! Reading the vectors, and the vocabulary that they were made with.

use serde_json::Value;
use std::path::Path;
use text::Encode;
use text::harmony::{
    Content, ContentType, Conversation, DeveloperContent, Function, Message, Namespace, ReasoningEffort, Role, Specials, SystemContent,
};
use tiktoken_rs::{CoreBPE, o200k_harmony_singleton};

pub(crate) struct O200k(pub &'static CoreBPE);

impl O200k {
    pub(crate) fn new() -> Self {
        Self(o200k_harmony_singleton())
    }

    pub(crate) fn specials(&self) -> Specials {
        Specials::find(|text| self.encode_special(text).first().copied()).unwrap()
    }

    pub(crate) fn bytes(&self, id: u32) -> Vec<u8> {
        self.0.decode_bytes(&[id]).unwrap()
    }
}

impl Encode for O200k {
    fn encode(&self, text: &str) -> Vec<u32> {
        self.0.encode_ordinary(text)
    }

    fn encode_special(&self, markup: &str) -> Vec<u32> {
        self.0.encode_with_special_tokens(markup)
    }
}

pub(crate) fn lines(name: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/text/harmony");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// FNV-1a.
pub(crate) fn hash64(bytes: impl IntoIterator<Item = u8>) -> String {
    let hash = bytes.into_iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3));
    format!("{hash:016x}")
}

/// FNV-1a.
pub(crate) fn hash32(bytes: impl IntoIterator<Item = u8>) -> String {
    let hash = bytes.into_iter().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{hash:08x}")
}

pub(crate) fn hash_ids(ids: &[u32]) -> String {
    hash64(ids.iter().flat_map(|id| id.to_le_bytes()))
}

pub(crate) fn ids(value: &Value) -> Vec<u32> {
    let ids = value.as_array().unwrap().iter();
    ids.map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect()
}

pub(crate) fn conversation(messages: &Value) -> Conversation {
    Conversation { messages: messages.as_array().unwrap().iter().map(message).collect() }
}

fn message(value: &Value) -> Message {
    let content = &value["content"];
    let content = match (content.get("system"), content.get("developer")) {
        (Some(content), _) => Content::System(system(content)),
        (_, Some(content)) => Content::Developer(developer(content)),
        _ => Content::Text(content.as_str().unwrap().into()),
    };
    let role = Role::from_name(value["role"].as_str().unwrap()).unwrap();
    let mut message = Message::new(role, content);
    message.header.name = text(&value["name"]);
    message.header.recipient = text(&value["recipient"]);
    message.header.channel = value["channel"].as_str().map(Into::into);
    message.header.content_type = value["content_type"].as_str().map(|name| {
        let constrained = name.strip_prefix("<|constrain|>");
        ContentType { name: constrained.unwrap_or(name).into(), constrained: constrained.is_some() }
    });
    message
}

fn system(value: &Value) -> SystemContent {
    let default = SystemContent::default();
    let is_default = |key: &str| value[key] == "default";
    SystemContent {
        identity: match is_default("identity") {
            true => default.identity,
            false => text(&value["identity"]),
        },
        knowledge_cutoff: match is_default("knowledge_cutoff") {
            true => default.knowledge_cutoff,
            false => text(&value["knowledge_cutoff"]),
        },
        date: text(&value["date"]),
        reasoning_effort: value["reasoning_effort"].as_str().map(|effort| match effort {
            "low" => ReasoningEffort::Low,
            "medium" => ReasoningEffort::Medium,
            "high" => ReasoningEffort::High,
            other => panic!("effort {other}"),
        }),
        tools: texts(&value["tools"])
            .iter()
            .map(|name| match name.as_str() {
                "browser" => Namespace::browser(),
                "python" => Namespace::python(),
                other => panic!("tool {other}"),
            })
            .collect(),
        valid_channels: match is_default("valid_channels") {
            true => default.valid_channels,
            false => texts(&value["valid_channels"]),
        },
    }
}

fn developer(value: &Value) -> DeveloperContent {
    let functions = value["functions"].as_array().unwrap().iter();
    let functions = functions.map(|function| Function {
        name: text(&function["name"]).unwrap(),
        description: text(&function["description"]).unwrap(),
        parameters: Some(function["parameters"].clone()).filter(|schema| !schema.is_null()),
    });
    DeveloperContent { instructions: text(&value["instructions"]), functions: functions.collect(), response_formats: Vec::new() }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(String::from)
}

pub(crate) fn texts(value: &Value) -> Vec<String> {
    let texts = value.as_array().unwrap().iter();
    texts.map(|value| text(value).unwrap()).collect()
}
