//! Documents of one collection.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{Client, Closed, EncodeError, Operation, SubmitError, Watch};
use crate::{
    driver::Platform,
    engine::{View, ViewDocument, storage::Query},
    protocol::{
        CollectionName, DocKey, DocumentId, FieldName, Fields, Intent, InvalidId, Json, Seq, Strategy,
    },
};

/// A document as the application sees it: what the server has, with this client's unsettled edits laid over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<T> {
    /// Its id.
    pub id: DocumentId,
    /// Its fields, read into the application's type.
    pub value: T,
    /// Whether it shows edits that the server has not judged.
    pub pending: bool,
    /// Whether one of them waits for somebody to decide a [conflict](Client::conflicts).
    pub conflicted: bool,
    /// Unix time of its newest edit, in milliseconds.
    pub updated: Option<u64>,
}

/// Edits and reads one collection.
pub struct Collection<P: Platform> {
    client: Client<P>,
    name: CollectionName,
    after: Vec<Seq>,
}

impl<P: Platform> Collection<P> {
    pub(super) fn new(client: Client<P>, name: CollectionName) -> Self {
        Self { client, name, after: Vec::new() }
    }

    /// Lets the edits that follow wait for these operations, at most [`MAX_PARENTS`](crate::outbox::MAX_PARENTS): each
    /// is sent once they have been applied, in full or in part. If one of them is rejected or withdrawn, the edit
    /// becomes a dead letter with the code `dependency_failed`. That holds across restarts.
    pub fn after(self, operations: &[&Operation]) -> Self {
        Self { after: operations.iter().map(|operation| operation.id().seq).collect(), ..self }
    }

    /// Makes the document exactly `value`, a JSON object. Resolves once that is durable on this device, not once the
    /// server has accepted it; await [`Operation::outcome`] for that. If the future is dropped before it resolves,
    /// the edit may or may not have been stored.
    ///
    /// # Errors
    /// [`SubmitError`]
    pub async fn put(&self, id: &str, value: &impl Serialize) -> Result<Operation, SubmitError> {
        let fields = fields(value)?;
        self.submit(id, vec![Intent::Put(fields)]).await
    }

    /// Changes the fields that `patch` names; others stay. In a last-write-wins collection, where documents are
    /// written whole, this puts the document as it is seen now with the patch laid over it. Otherwise as
    /// [`put`](Self::put).
    ///
    /// # Errors
    /// [`SubmitError`]
    pub async fn update(&self, id: &str, patch: &impl Serialize) -> Result<Operation, SubmitError> {
        let patch = fields(patch)?;
        self.patch(id, |whole| whole.extend(patch.clone()), Intent::Set(patch.clone())).await
    }

    /// Removes fields. Otherwise as [`update`](Self::update).
    ///
    /// # Errors
    /// [`SubmitError`]
    pub async fn unset(&self, id: &str, names: &[&str]) -> Result<Operation, SubmitError> {
        let names: Vec<FieldName> =
            names.iter().map(|name| FieldName::new(name)).collect::<Result<_, _>>()?;
        self.patch(id, |whole| whole.retain(|name, _| !names.contains(name)), Intent::Unset(names.clone()))
            .await
    }

    /// Deletes the document, also against edits made elsewhere without knowing of this. Otherwise as
    /// [`put`](Self::put).
    ///
    /// # Errors
    /// [`SubmitError`]
    pub async fn delete(&self, id: &str) -> Result<Operation, SubmitError> {
        self.submit(id, vec![Intent::Delete {}]).await
    }

    /// Reads one document; none if it does not exist, or is no `T`.
    ///
    /// # Errors
    /// [`SubmitError::Id`] or [`SubmitError::Closed`]
    pub async fn get<T: DeserializeOwned>(&self, id: &str) -> Result<Option<Document<T>>, SubmitError> {
        let view = self.look(self.key(id)?).await?;
        Ok(Document::read_all(view).pop())
    }

    /// Follows every document of the collection, up to [`MAX_QUERY`](crate::engine::storage::MAX_QUERY).
    pub fn watch(&self) -> Watch<P> {
        Watch::new(&self.client, Query::all(self.name.clone()))
    }

    /// Follows the documents of a range of ids.
    pub fn watch_range(&self, from: Option<DocumentId>, to: Option<DocumentId>, limit: usize) -> Watch<P> {
        Watch::new(&self.client, Query::Range { collection: self.name.clone(), from, to, limit })
    }

    async fn patch(
        &self,
        id: &str,
        change: impl FnOnce(&mut Fields),
        intent: Intent,
    ) -> Result<Operation, SubmitError> {
        if self.client.strategy(&self.name) != Strategy::LastWriteWins {
            return self.submit(id, vec![intent]).await;
        }
        let seen = self.look(self.key(id)?).await?.documents.pop();
        let mut whole = seen.map(|document| document.values()).unwrap_or_default();
        change(&mut whole);
        self.submit(id, vec![Intent::Put(whole)]).await
    }

    async fn submit(&self, id: &str, intents: Vec<Intent>) -> Result<Operation, SubmitError> {
        let key = self.key(id)?;
        let Self { client: Client { driver, schema, .. }, after, .. } = self;
        let submit = |ticket| driver.submit(ticket, key, *schema, intents, after.clone());
        self.client.ask(submit).await
    }

    async fn look(&self, key: DocKey) -> Result<View, Closed> {
        Watch::new(&self.client, Query::One(key)).next_view().await
    }

    fn key(&self, id: &str) -> Result<DocKey, InvalidId> {
        Ok(DocKey { collection: self.name.clone(), id: DocumentId::new(id)? })
    }
}

impl<T: DeserializeOwned> Document<T> {
    /// Those documents of a view that are a `T`; others belong to another version of the application.
    pub(super) fn read_all(view: View) -> Vec<Self> {
        view.documents.into_iter().filter_map(Self::read).collect()
    }

    fn read(document: ViewDocument) -> Option<Self> {
        let ViewDocument { id, fields, pending, conflicted, updated } = document;
        let value = serde_json::from_str(fields.as_str()).ok()?;
        Some(Self { id, value, pending, conflicted, updated: updated.map(|at| at.0) })
    }
}

fn fields(value: &impl Serialize) -> Result<Fields, EncodeError> {
    let text = serde_json::to_string(value)?;
    let object: std::collections::BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(&text).map_err(|_| EncodeError::NotAnObject)?;
    let field =
        |(name, value): (String, Box<RawValue>)| Ok((FieldName::new(&name)?, Json::parse(value.get())?));
    object.into_iter().map(field).collect()
}
