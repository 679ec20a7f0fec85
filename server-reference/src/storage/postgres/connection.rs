//! How the statements that all databases share reach PostgreSQL.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    error::Error as StdError,
    ops::ControlFlow,
};

use postgres::{
    Row as PostgresRow, Statement, Transaction,
    types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};

use super::names;
use crate::storage::{
    StorageError,
    sql::{Connection, Each, Row, Value, corrupt},
    sqlite::audit::Key,
};

/// Rows that are brought at one time where there may be many.
const SLICE: i32 = 256;

/// How a statement begins that takes back what was done since a savepoint.
const BACK: &str = "ROLLBACK TO";

/// Statements by the text that all databases share. There are as many as the program has.
#[derive(Default)]
pub(super) struct Statements(RefCell<HashMap<String, Statement>>);

/// What the chains of an audit are signed with, and what they are called.
pub(super) struct Signer {
    pub(super) key: Key,
    pub(super) chain: &'static str,
}

/// A connection with a transaction under way.
pub(super) struct Open<'a> {
    transaction: RefCell<Transaction<'a>>,
    statements: &'a Statements,
    signer: &'a Signer,
    /// A statement has failed, and nothing was rolled back to a savepoint since.
    failed: Cell<bool>,
}

impl<'a> Open<'a> {
    pub(super) fn new(transaction: Transaction<'a>, statements: &'a Statements, signer: &'a Signer) -> Self {
        Self { transaction: RefCell::new(transaction), statements, signer, failed: Cell::new(false) }
    }

    /// Commits what was done. PostgreSQL itself answers COMMIT with success where it has rolled back because of a failure.
    pub(super) fn commit(self) -> Result<(), StorageError> {
        if self.failed.get() {
            return Err(StorageError::Unavailable("a statement of the transaction has failed".into()));
        }
        Ok(self.transaction.into_inner().commit()?)
    }

    fn ask<T>(
        &self,
        ask: impl FnOnce(&mut Transaction<'a>) -> Result<T, postgres::Error>,
    ) -> Result<T, StorageError> {
        let answer = ask(&mut self.transaction.borrow_mut());
        self.failed.set(self.failed.get() || answer.is_err());
        Ok(answer?)
    }

    fn prepare(&self, sql: &str) -> Result<Statement, StorageError> {
        if let Some(known) = self.statements.0.borrow().get(sql) {
            return Ok(known.clone());
        }
        let statement = self.ask(|transaction| transaction.prepare(&translated(sql)))?;
        self.statements.0.borrow_mut().insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// A statement as PostgreSQL has it: its parameters are `$1`, and its planner takes no advice.
fn translated(sql: &str) -> String {
    let mut words = sql.replace('?', "$");
    while let Some((before, advice)) = words.split_once(" INDEXED BY ") {
        let behind = advice.find(char::is_whitespace).map_or("", |end| &advice[end..]);
        words = [before, behind].concat();
    }
    words
}

fn parameters<'v>(values: &'v [Value<'v>]) -> Vec<&'v (dyn ToSql + Sync)> {
    values.iter().map(|value| value as _).collect()
}

impl Connection for Open<'_> {
    fn run(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StorageError> {
        let statement = self.prepare(sql)?;
        let changed = self.ask(|transaction| transaction.execute(&statement, &parameters(values)))?;
        usize::try_from(changed).map_err(corrupt("a count of rows"))
    }

    fn fetch(&self, sql: &str, values: &[Value<'_>], each: &mut Each<'_>) -> Result<(), StorageError> {
        let statement = self.prepare(sql)?;
        let rows = self.ask(|transaction| transaction.query(&statement, &parameters(values)))?;
        for row in rows {
            if each(&Fetched::from(row))? == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn scan(&self, sql: &str, values: &[Value<'_>], each: &mut Each<'_>) -> Result<(), StorageError> {
        let statement = self.prepare(sql)?;
        let portal = self.ask(|transaction| transaction.bind(&statement, &parameters(values)))?;
        loop {
            let rows = self.ask(|transaction| transaction.query_portal(&portal, SLICE))?;
            let count = rows.len();
            for row in rows {
                if each(&Fetched::from(row))? == ControlFlow::Break(()) {
                    return Ok(());
                }
            }
            if count < SLICE as usize {
                return Ok(());
            }
        }
    }

    fn control(&self, sql: &'static str) -> Result<(), StorageError> {
        self.ask(|transaction| transaction.batch_execute(sql))?;
        if sql.starts_with(BACK) {
            self.failed.set(false);
        }
        Ok(())
    }

    fn turn(&self) -> Result<i64, StorageError> {
        // No row is looked at: those of other tenants, which wait as well, are not to be seen.
        let mut turn = 0;
        self.fetch("SELECT nextval('turns')", &[], &mut |row| {
            turn = row.get(0)?;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(turn)
    }

    fn sign(&self, tenant: &str, size: u64, root: &[u8; 32]) -> Result<Vec<u8>, StorageError> {
        let Signer { key, chain } = self.signer;
        Ok(key.sign(&key.public().origin(chain, tenant), size, root))
    }

    fn has_signed(
        &self,
        tenant: &str,
        size: u64,
        root: &[u8; 32],
        signature: &[u8],
    ) -> Result<bool, StorageError> {
        let Signer { key, chain } = self.signer;
        let public = key.public();
        Ok(public.has_signed(&public.origin(chain, tenant), size, root, signature))
    }
}

/// A row, with those of its texts that are [stored](names::stored) in another form.
struct Fetched {
    row: PostgresRow,
    texts: OnceCell<Vec<OnceCell<String>>>,
}

impl From<PostgresRow> for Fetched {
    fn from(row: PostgresRow) -> Self {
        Self { row, texts: OnceCell::new() }
    }
}

impl Fetched {
    fn text(&self, column: usize) -> Result<Option<&str>, StorageError> {
        let Some(stored) = self.row.try_get::<_, Option<&str>>(column)? else { return Ok(None) };
        let Some(text) = names::text(stored).map_err(corrupt("a text"))? else { return Ok(Some(stored)) };
        let texts = self.texts.get_or_init(|| vec![OnceCell::new(); self.row.len()]);
        Ok(texts.get(column).map(|place| &**place.get_or_init(|| text)))
    }
}

impl Row for Fetched {
    fn value(&self, column: usize) -> Result<Value<'_>, StorageError> {
        let row = &self.row;
        let kind = row.columns().get(column).map(|column| column.type_().clone());
        let value = match kind {
            Some(Type::INT8) => row.try_get::<_, Option<i64>>(column)?.map(Value::Integer),
            Some(Type::INT4) => {
                row.try_get::<_, Option<i32>>(column)?.map(|number| Value::Integer(number.into()))
            }
            Some(Type::BOOL) => row.try_get::<_, Option<bool>>(column)?.map(Value::Bool),
            Some(Type::TEXT) => self.text(column)?.map(Value::Text),
            Some(Type::BYTEA) => row.try_get::<_, Option<&[u8]>>(column)?.map(Value::Bytes),
            _ => return Err(corrupt("a row")(Unknown(column))),
        };
        Ok(value.unwrap_or(Value::Null))
    }
}

/// A column has a type that no statement of ours asks for.
#[derive(Debug, thiserror::Error)]
#[error("column {0} has a type that is not known here")]
struct Unknown(usize);

/// A parameter cannot be what the statement wants.
#[derive(Debug, thiserror::Error)]
#[error("a parameter is not of type {0}")]
struct Unfit(Type);

impl ToSql for Value<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match (self, kind) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Bool(so), &Type::BOOL) => so.to_sql(kind, out),
            (Self::Integer(number), &Type::INT8) => number.to_sql(kind, out),
            (Self::Unsigned(number), &Type::INT8) => i64::try_from(*number)?.to_sql(kind, out),
            (Self::Text(text), &Type::TEXT) => names::stored(text).to_sql(kind, out),
            (Self::Bytes(bytes), &Type::BYTEA) => bytes.to_sql(kind, out),
            _ => Err(Unfit(kind.clone()).into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_sqlite_understands_is_left_out() {
        let sql = "SELECT a FROM b INDEXED BY c\n WHERE d = ?1 AND e = ?12";
        assert_eq!(translated(sql), "SELECT a FROM b\n WHERE d = $1 AND e = $12");
    }
}
