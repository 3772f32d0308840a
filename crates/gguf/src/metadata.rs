//! The metadata of a file: keys in order, values by key, and getters that check types.

use crate::error::quoted;
use crate::{Array, Error, Strings, Value};

/// Metadata keys and values, in the order of the file. No key occurs twice.
///
/// The typed getters give `Ok(None)` where the key is absent and [`Error::WrongType`] where its value is of another
/// type. Integers are taken in any width in which they fit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
}

impl Metadata {
    pub fn new() -> Self {
        Self::default()
    }

    /// # Errors
    /// [`Error::DuplicateKey`].
    pub(crate) fn from_entries(entries: Vec<(String, Value)>) -> Result<Self, Error> {
        let mut order: Vec<u32> = (0..entries.len() as u32).collect();
        let key = |i: u32| &entries[i as usize].0;
        order.sort_unstable_by_key(|&i| key(i));
        match order.windows(2).find(|pair| key(pair[0]) == key(pair[1])) {
            Some(pair) => Err(Error::DuplicateKey { key: quoted(key(pair[0])) }),
            None => Ok(Self { entries }),
        }
    }

    /// Puts `value` under `key`, in place of one that is there or else at the end.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.entries.iter_mut().find(|(k, _)| *k == key) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((key, value)),
        }
    }

    /// Takes `key` out and gives its value, if it was there.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.entries.iter().position(|(k, _)| k == key)?;
        Some(self.entries.remove(at).1)
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(k, _)| k == key).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn u64(&self, key: &str) -> Result<Option<u64>, Error> {
        self.typed(key, "a non-negative integer", |value| value.integer()?.try_into().ok())
    }

    /// f32, or f64 rounded to it.
    pub fn f32(&self, key: &str) -> Result<Option<f32>, Error> {
        self.typed(key, "a float", |value| match *value {
            Value::F32(v) => Some(v),
            Value::F64(v) => Some(v as f32),
            _ => None,
        })
    }

    pub fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "a bool", |value| match *value {
            Value::Bool(v) => Some(v),
            _ => None,
        })
    }

    pub fn str(&self, key: &str) -> Result<Option<&str>, Error> {
        self.typed(key, "a string", |value| match value {
            Value::Str(v) => Some(v.as_str()),
            _ => None,
        })
    }

    pub fn strings(&self, key: &str) -> Result<Option<&Strings>, Error> {
        self.typed(key, "an array of strings", |value| match value {
            Value::Array(Array::Strings(v)) => Some(v),
            _ => None,
        })
    }

    pub fn i32s(&self, key: &str) -> Result<Option<Vec<i32>>, Error> {
        self.array(key, "an array of integers of 32 bits", Array::integers_as)
    }

    pub fn u32s(&self, key: &str) -> Result<Option<Vec<u32>>, Error> {
        self.array(key, "an array of non-negative integers of 32 bits", Array::integers_as)
    }

    pub fn f32s(&self, key: &str) -> Result<Option<Vec<f32>>, Error> {
        self.array(key, "an array of floats", Array::floats)
    }

    fn array<T>(&self, key: &str, expected: &'static str, convert: impl FnOnce(&Array) -> Option<T>) -> Result<Option<T>, Error> {
        self.typed(key, expected, |value| match value {
            Value::Array(array) => convert(array),
            _ => None,
        })
    }

    fn typed<'a, T>(&'a self, key: &str, expected: &'static str, convert: impl FnOnce(&'a Value) -> Option<T>) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(Error::WrongType { key: key.to_owned(), expected, got: value.describe() }),
        }
    }
}
