//! How the statements that all databases share reach SQLite.

use std::ops::ControlFlow;

use rusqlite::{
    ToSql, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use crate::storage::{
    StorageError,
    sql::{Connection, Each, Row, Value, corrupt},
};

impl Connection for rusqlite::Connection {
    fn run(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StorageError> {
        Ok(self.prepare_cached(sql)?.execute(params_from_iter(values))?)
    }

    fn fetch(&self, sql: &str, values: &[Value<'_>], each: &mut Each<'_>) -> Result<(), StorageError> {
        let mut statement = self.prepare_cached(sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            if each(row)? == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn scan(&self, sql: &str, values: &[Value<'_>], each: &mut Each<'_>) -> Result<(), StorageError> {
        // Rows are read one by one as it is.
        self.fetch(sql, values, each)
    }

    fn control(&self, sql: &'static str) -> Result<(), StorageError> {
        Ok(self.execute_batch(sql)?)
    }

    fn turn(&self) -> Result<i64, StorageError> {
        let mut last = self.prepare_cached("SELECT coalesce(max(turn), 0) + 1 FROM lanes")?;
        Ok(last.query_row([], |row| row.get(0))?)
    }

    fn sign(&self, tenant: &str, size: u64, root: &[u8; 32]) -> Result<Vec<u8>, StorageError> {
        let mut sign = self.prepare_cached("SELECT audit_sign(?1, ?2, ?3)")?;
        Ok(sign.query_row((tenant, size, root), |row| row.get(0))?)
    }

    fn has_signed(
        &self,
        tenant: &str,
        size: u64,
        root: &[u8; 32],
        signature: &[u8],
    ) -> Result<bool, StorageError> {
        let mut signed = self.prepare_cached("SELECT audit_signed(?1, ?2, ?3, ?4)")?;
        Ok(signed.query_row((tenant, size, root, signature), |row| row.get(0))?)
    }
}

impl Row for rusqlite::Row<'_> {
    fn value(&self, column: usize) -> Result<Value<'_>, StorageError> {
        Ok(match self.get_ref(column)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Text(text) => Value::Text(std::str::from_utf8(text).map_err(corrupt("a text"))?),
            ValueRef::Blob(bytes) => Value::Bytes(bytes),
            // No table has any.
            ValueRef::Real(_) => return Err(corrupt("a row")(Real)),
        })
    }
}

/// A number that is not whole.
#[derive(Debug, thiserror::Error)]
#[error("a number is not whole")]
struct Real;

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Null => Ok(ToSqlOutput::Borrowed(ValueRef::Null)),
            Self::Bool(so) => so.to_sql(),
            Self::Integer(number) => number.to_sql(),
            Self::Unsigned(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
            Self::Bytes(bytes) => bytes.to_sql(),
        }
    }
}
