//! What the application decides with code of its own, by the one function that TypeScript gives for all of it.

use js_sys::Function;
use sdk_core::{
    driver::{Migration, Rules},
    engine::Outdated,
    protocol::{decode, encode},
    reconcile::{Conflict, Resolution},
    wire::{Decode, Encode, Object},
};
use wasm_bindgen::{JsCast, JsValue};

/// The function takes one question as JSON text and gives the answer as such:
///
/// - `{"resolve": conflict}`: `{"mine": {}}`, `{"theirs": {}}`, `{"merged": fields}` or `{"defer": {}}`;
/// - `{"migrate": {"doc", "schema", "intents"}}`: `{"intents": [...]}` or `{"drop": {}}`.
pub(crate) struct Decisions {
    pub(crate) function: Option<Function>,
    pub(crate) schema: u32,
}

impl Rules for Decisions {
    fn resolve(&self, conflict: &Conflict) -> Result<Resolution, String> {
        let Some(function) = &self.function else { return Ok(Resolution::Defer) };
        ask(function, "merge function", &Question("resolve", conflict))
    }

    fn schema(&self) -> u32 {
        self.schema
    }

    fn migrate(&self, operation: &Outdated) -> Result<Migration, String> {
        let function = self.function.as_ref().ok_or("there are no migrations")?;
        ask(function, "migration", &Question("migrate", operation))
    }
}

struct Question<'a>(&'static str, &'a dyn Encode);

impl Encode for Question<'_> {
    fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        object.field(self.0, self.1);
        object.end();
    }
}

fn ask<T: Decode>(function: &Function, who: &str, question: &Question<'_>) -> Result<T, String> {
    let answer = function.call1(&JsValue::UNDEFINED, &encode(question).into());
    let answer = answer.map_err(|thrown| {
        let words = thrown.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
        ["the ", who, " threw: ", &words.unwrap_or_default()].concat()
    })?;
    let text = answer.as_string().ok_or_else(|| ["the ", who, " gave no text"].concat())?;
    decode(&text).map_err(|error| ["the ", who, " gave nonsense: ", &error.message].concat())
}
