//! The two tools that the models were trained with. The wording is part of the format: a model knows these
//! tools by exactly these texts (OpenAI, `openai-harmony` 0.0.8, Apache-2.0).

use super::{Function, Namespace};
use serde_json::{Value, json};

const BROWSER: &str = "Tool for browsing.
The `cursor` appears in brackets before each browsing display: `[{cursor}]`.
Cite information from the tool using the following format:
`【{cursor}†L{line_start}(-L{line_end})?】`, for example: `【6†L9-L11】` or `【8†L3】`.
Do not quote more than 10 words directly from the tool output.
sources=web (default: web)";

const SEARCH: &str = "Searches for information related to `query` and displays `topn` results.";

const OPEN: &str = "Opens the link `id` from the page indicated by `cursor` starting at line number `loc`, showing `num_lines` lines.
Valid link ids are displayed with the formatting: `【{id}†.*】`.
If `cursor` is not provided, the most recent page is implied.
If `id` is a string, it is treated as a fully qualified URL associated with `source`.
If `loc` is not provided, the viewport will be positioned at the beginning of the document or centered on the most relevant passage, if available.
Use this function without `id` to scroll to a new location of an opened page.";

const FIND: &str = "Finds exact matches of `pattern` in the current page, or the page given by `cursor`.";

const PYTHON: &str = "Use this tool to execute Python code in your chain of thought. The code will not be shown to the user. This tool should be used for internal reasoning, but not for code that is intended to be visible to the user (e.g. when creating plots, tables, or files).

When you send a message containing Python code to python, it will be executed in a stateful Jupyter notebook environment. python will respond with the output of the execution or time out after 120.0 seconds. The drive at '/mnt/data' can be used to save and persist user files. Internet access for this session is UNKNOWN. Depends on the cluster.";

impl Namespace {
    /// Search, read and find in web pages: `browser.search`, `browser.open`, `browser.find`.
    #[must_use]
    pub fn browser() -> Self {
        let search = json!({
            "type": "object",
            "properties": {
                "query": {"type": "string"},
                "topn": {"type": "number", "default": 10},
                "source": {"type": "string"}
            },
            "required": ["query"]
        });
        let open = json!({
            "type": "object",
            "properties": {
                "id": {"type": ["number", "string"], "default": -1},
                "cursor": {"type": "number", "default": -1},
                "loc": {"type": "number", "default": -1},
                "num_lines": {"type": "number", "default": -1},
                "view_source": {"type": "boolean", "default": false},
                "source": {"type": "string"}
            }
        });
        let find = json!({
            "type": "object",
            "properties": {
                "pattern": {"type": "string"},
                "cursor": {"type": "number", "default": -1}
            },
            "required": ["pattern"]
        });
        Self {
            name: "browser".into(),
            description: Some(BROWSER.into()),
            functions: vec![function("search", SEARCH, search), function("open", OPEN, open), function("find", FIND, find)],
        }
    }

    /// Python code in a notebook, called as `python`.
    #[must_use]
    pub fn python() -> Self {
        Self { name: "python".into(), description: Some(PYTHON.into()), functions: Vec::new() }
    }
}

fn function(name: &str, description: &str, parameters: Value) -> Function {
    Function { name: name.into(), description: description.into(), parameters: Some(parameters) }
}
