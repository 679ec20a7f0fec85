//! Opening and deleting databases.

use std::{cell::Cell, rc::Rc};

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Event, IdbDatabase, IdbFactory, IdbOpenDbRequest, IdbRequest, IdbVersionChangeEvent};

use super::failure::Refused;
use crate::held::notice;

/// What a database holds. A later version adds object stores and never takes one away, so that an older page which
/// opens a newer database finds what it knows.
#[derive(Debug)]
pub(crate) struct Schema {
    /// Goes up by one whenever `stores` grows.
    pub(crate) version: u32,
    /// Names of the object stores; their keys are given with each record.
    pub(crate) stores: &'static [&'static str],
}

/// A database, just opened.
pub(crate) struct Opened {
    pub(crate) database: IdbDatabase,
    /// Whether it did not exist before.
    pub(crate) created: bool,
}

/// Opens a database and brings it up to date.
///
/// Waits as long as another page holds an older version open and does not close it, and says so. Ours close when asked.
pub(crate) async fn open(name: &str, schema: &'static Schema) -> Result<Opened, Refused> {
    let factory = factory()?;
    match open_at(&factory.open_with_u32(name, schema.version)?, schema).await {
        // Left by a newer release. What this one knows is there, by the rule of `Schema`.
        Err(refused) if refused.name == "VersionError" => open_at(&factory.open(name)?, schema).await,
        result => result,
    }
}

async fn open_at(request: &IdbOpenDbRequest, schema: &'static Schema) -> Result<Opened, Refused> {
    let created = Rc::new(Cell::new(false));
    let upgrade = Closure::<dyn FnMut(IdbVersionChangeEvent)>::new({
        let (request, created) = (request.clone(), created.clone());
        move |event: IdbVersionChangeEvent| {
            created.set(event.old_version() == 0.0);
            // An exception here would leave the database half made; without one, an object store that could not be
            // created shows as NotFoundError in the first transaction.
            if let Ok(database) = request.result() {
                add_missing_stores(database.unchecked_ref(), schema);
            }
        }
    });
    let blocked = Closure::<dyn FnMut()>::new(|| notice("upgradeBlocked"));
    request.set_onupgradeneeded(Some(upgrade.as_ref().unchecked_ref()));
    request.set_onblocked(Some(blocked.as_ref().unchecked_ref()));
    let result = settled(request, None).await;
    request.set_onupgradeneeded(None);
    request.set_onblocked(None);
    Ok(Opened { database: result?.unchecked_into(), created: created.get() })
}

fn add_missing_stores(database: &IdbDatabase, schema: &Schema) {
    let present = database.object_store_names();
    for store in schema.stores.iter().filter(|store| !present.contains(store)) {
        let _ = database.create_object_store(store);
    }
}

/// Deletes a database; one that is not there is no error. While another page keeps it open and does not close it
/// when asked, this is refused with the name `blocked`, and the browser deletes it later.
pub(crate) async fn delete(name: &str) -> Result<(), Refused> {
    let request = factory()?.delete_database(name)?;
    let blocked = |reject: &Function| request.set_onblocked(Some(reject));
    settled(&request, Some(&blocked)).await.map(drop)
}

/// The result of a request that is not part of a transaction of ours.
async fn settled(
    request: &IdbOpenDbRequest,
    also_rejected_by: Option<&dyn Fn(&Function)>,
) -> Result<JsValue, Refused> {
    let promise = Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
        if let Some(attach) = also_rejected_by {
            attach(&reject);
        }
    });
    let request: &IdbRequest = request;
    match JsFuture::from(promise).await {
        Ok(_) => Ok(request.result()?),
        Err(event) => Err(match request.error() {
            Ok(Some(error)) => JsValue::from(error).into(),
            _ => Refused { name: event.unchecked_into::<Event>().type_(), message: String::new() },
        }),
    }
}

/// The browser's IndexedDB. Reading the property throws where the page may not have storage.
fn factory() -> Result<IdbFactory, Refused> {
    let factory = Reflect::get(&js_sys::global(), &"indexedDB".into())?;
    if factory.is_object() {
        Ok(factory.unchecked_into())
    } else {
        Err(Refused { name: "NotAllowedError".into(), message: "there is no IndexedDB here".into() })
    }
}
