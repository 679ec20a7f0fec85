//! A connection that outlives what the browser does to it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{Event, IdbDatabase};

use crate::held::hold;

use super::{
    Durability, FENCE, Failure, Schema, Term, Transaction,
    failure::Refused,
    open::{self, Opened},
};

/// Called back when the browser, or another page, has closed the database.
type OnTaken = Rc<RefCell<Option<Box<dyn Fn()>>>>;

/// Asks a transaction for everything.
type Ask<'a> = dyn Fn(&Transaction) -> Result<(), JsValue> + 'a;

/// One database, opened when it is first needed and again when the browser closed it.
pub(crate) struct Connection {
    name: String,
    schema: &'static Schema,
    /// The names of all object stores: each transaction spans them.
    stores: JsValue,
    handle: RefCell<Option<Handle>>,
    /// Whether it was open before: a database that is created afterwards was deleted in between.
    known: Cell<bool>,
    lost: Cell<bool>,
    on_taken: OnTaken,
    /// What each write asserts.
    term: Cell<Option<Term>>,
}

impl Connection {
    pub(crate) fn new(name: String, schema: &'static Schema) -> Self {
        let stores = schema.stores.iter().map(|store| JsValue::from_str(store)).collect::<Array>();
        Self {
            name,
            schema,
            stores: stores.into(),
            handle: RefCell::new(None),
            known: Cell::new(false),
            lost: Cell::new(false),
            on_taken: Rc::default(),
            term: Cell::new(None),
        }
    }

    /// Calls back whenever the browser or another page has closed it.
    pub(crate) fn on_taken(&self, callback: impl Fn() + 'static) {
        self.on_taken.replace(Some(Box::new(callback)));
    }

    /// Fences all that is written from now on.
    pub(crate) fn in_term(self, term: Term) -> Self {
        self.term.set(Some(term));
        self
    }

    /// Writes in one transaction, asked for in one go by `ask`. Resolves when it is complete.
    ///
    /// # Errors
    /// Nothing was written, as in the case that another client has taken the database over. [`Failure::Lost`] stays
    /// until [`recreate`](Self::recreate) or [`accept_loss`](Self::accept_loss).
    pub(crate) async fn write(
        &self,
        durability: Durability,
        ask: impl Fn(&Transaction) -> Result<(), JsValue>,
    ) -> Result<(), Failure> {
        let fenced = |transaction: &Transaction| {
            self.term.get().map_or(Ok(()), |term| term.assert(transaction))?;
            ask(transaction)
        };
        self.run(Some(durability), &fenced).await
    }

    /// Takes the database over: whoever wrote to it before cannot any more.
    ///
    /// # Errors
    /// Another client was quicker, or there is no storage.
    pub(crate) async fn take_over(&self) -> Result<Term, Failure> {
        let revoked = self.read(|transaction| transaction.store(FENCE)?.get_all_keys()).await?;
        let term = Term::after(&revoked).ok_or_else(|| JsValue::from_str("a fence that is not ours"))?;
        let begin = |transaction: &Transaction| term.begin(transaction);
        // The loss of power would end whoever had it before, too.
        self.run(Some(Durability::Relaxed), &begin).await?;
        self.term.set(Some(term));
        Ok(term)
    }

    /// Takes the database over in a term that was begun in another one.
    ///
    /// # Errors
    /// There is no storage, or it is broken. What is written later is fenced all the same.
    pub(crate) async fn impose(&self, term: Term) -> Result<(), Failure> {
        self.term.set(Some(term));
        let impose = |transaction: &Transaction| term.impose(transaction);
        self.run(Some(Durability::Relaxed), &impose).await
    }

    /// Reads in one transaction; `ask` returns the requests, which have their results when this resolves.
    ///
    /// # Errors
    /// As of [`write`](Self::write).
    pub(crate) async fn read<T>(
        &self,
        ask: impl Fn(&Transaction) -> Result<T, JsValue>,
    ) -> Result<T, Failure> {
        let asked = Cell::new(None);
        let ask = |transaction: &Transaction| {
            asked.set(Some(ask(transaction)?));
            Ok(())
        };
        self.run(None, &ask).await?;
        asked.take().ok_or_else(|| JsValue::UNDEFINED.into())
    }

    /// Opens the database if it is not open.
    ///
    /// # Errors
    /// Where there is no storage; [`Failure::Lost`] if it was open before and now had to be created.
    pub(crate) async fn ensure_open(&self) -> Result<(), Failure> {
        self.database().await.map(drop)
    }

    /// Deletes the database with all it holds and creates it anew.
    ///
    /// # Errors
    /// The old one may be there still, or be gone.
    pub(crate) async fn recreate(&self) -> Result<(), Failure> {
        self.handle.take();
        open::delete(&self.name).await.map_err(Failure::Refused)?;
        self.known.set(false);
        self.accept_loss().await
    }

    /// Goes on in the empty database that has taken the place of the one that was lost.
    ///
    /// # Errors
    /// It cannot be written to.
    pub(crate) async fn accept_loss(&self) -> Result<(), Failure> {
        self.lost.set(false);
        match self.term.get() {
            Some(term) => self.impose(term).await,
            None => self.ensure_open().await,
        }
    }

    /// Runs one transaction, which writes if it has a durability. Of one code for all of them: it is most of what is here.
    async fn run(&self, durability: Option<Durability>, ask: &Ask<'_>) -> Result<(), Failure> {
        let mut first: Option<Refused> = None;
        loop {
            let done = match self.database().await {
                Ok(database) => self.attempt(&database, durability, ask).await.map_err(Failure::Refused),
                Err(failure) => Err(failure),
            };
            match (done, first.take()) {
                // Every write here gives a key the same record again, so that it does no harm if the first attempt
                // took effect after all.
                (Err(Failure::Refused(refused)), None) if refused.is_of_the_connection() => {
                    self.handle.take();
                    first = Some(refused);
                }
                // Another client came in between, and may have what the first attempt wrote: who hears that nothing was
                // written would do it once more.
                (Err(Failure::Refused(refused)), Some(unclear))
                    if refused.is_fenced() && unclear.may_have_happened() =>
                {
                    return Err(Failure::Refused(unclear));
                }
                (result, _) => return result,
            }
        }
    }

    async fn attempt(
        &self,
        database: &IdbDatabase,
        durability: Option<Durability>,
        ask: &Ask<'_>,
    ) -> Result<(), Refused> {
        let transaction = Transaction::begin(database, &self.stores, durability)?;
        ask(&transaction)?;
        if durability.is_some() {
            transaction.commit();
        }
        transaction.finish().await
    }

    async fn database(&self) -> Result<IdbDatabase, Failure> {
        let open = self.handle.borrow().as_ref().and_then(Handle::database);
        let database = match open {
            Some(database) => database,
            None => {
                let Opened { database, created } =
                    open::open(&self.name, self.schema).await.map_err(Failure::Refused)?;
                self.lost.set(self.lost.get() || (self.known.get() && created));
                self.known.set(true);
                hold(&self.name, &database);
                self.handle.replace(Some(Handle::new(database.clone(), Rc::clone(&self.on_taken))));
                database
            }
        };
        if self.lost.get() { Err(Failure::Lost) } else { Ok(database) }
    }
}

/// An open database with its handlers. Closes when dropped, after the transactions that are under way.
struct Handle {
    database: IdbDatabase,
    open: Rc<Cell<bool>>,
    _on_end: Closure<dyn FnMut(Event)>,
}

impl Handle {
    fn new(database: IdbDatabase, on_taken: OnTaken) -> Self {
        let open = Rc::new(Cell::new(true));
        // `close`: the browser took it. `versionchange`: another page wants to upgrade or delete it and waits for us.
        let on_end = Closure::<dyn FnMut(Event)>::new({
            let (database, open) = (database.clone(), open.clone());
            move |_| {
                open.set(false);
                database.close();
                if let Some(on_taken) = &*on_taken.borrow() {
                    on_taken();
                }
            }
        });
        let handler = on_end.as_ref().unchecked_ref();
        database.set_onclose(Some(handler));
        database.set_onversionchange(Some(handler));
        Self { database, open, _on_end: on_end }
    }

    fn database(&self) -> Option<IdbDatabase> {
        self.open.get().then(|| self.database.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.database.set_onclose(None);
        self.database.set_onversionchange(None);
        self.database.close();
    }
}
