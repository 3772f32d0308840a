//! Requests looked at before their model has time for them.

use std::sync::Arc;

use engine::Bounds;
use text::Tokenizer;

use crate::call::{Call, What};
use crate::complete::ends;
use crate::constrained::{Forms, form};
use crate::{Dialect, Error, Model, Request};

/// Says what keeps a model from answering a request, without asking the model: also while that answers another one, on any thread.
#[derive(Clone, Debug)]
pub struct Examiner {
    tokenizer: Arc<Tokenizer>,
    dialect: Option<Arc<Dialect>>,
    forms: Arc<Forms>,
    bounds: Bounds,
}

impl Model {
    pub fn examiner(&self) -> Examiner {
        let Self { tokenizer, dialect, forms, bounds, .. } = self;
        Examiner { tokenizer: tokenizer.clone(), dialect: dialect.clone(), forms: forms.clone(), bounds: *bounds }
    }
}

impl Examiner {
    /// # Errors
    /// What [`Model::reply`] would refuse: messages that the format cannot say, a prompt that the context cannot take, a form that
    /// cannot be read or met.
    pub async fn examine(&self, call: &Call) -> Result<(), Error> {
        match &call.what {
            What::Chat(request) => self.chat(request).await,
            What::Response(request) => self.chat(&request.chat).await,
            What::Completion(request) => {
                for prompt in &request.prompts {
                    self.bounds.check(&prompt.ids(&self.tokenizer))?;
                }
                let form = form(request.response_format.as_ref(), &request.parameters)?;
                self.forms.text(form.as_ref(), ends(&self.tokenizer)).await?;
                Ok(())
            }
        }
    }

    async fn chat(&self, request: &Request) -> Result<(), Error> {
        let dialect = self.dialect.as_ref().ok_or(Error::NoDialect)?;
        self.bounds.check(&dialect.render(&request.chat)?.encode(&*self.tokenizer))?;
        self.forms.chat(request, dialect).await?;
        Ok(())
    }
}
