//! `get_or_load` for values of any type that serde knows.
//! It must not know how values are loaded.

use std::{
    error::Error as StdError,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Serialize, de::DeserializeOwned};

use super::Storage;
use crate::{
    codec::{Codec, Json},
    entry::Key,
    error::{Error, ErrorKind, Result},
    load::LoadOptions,
};

impl Storage {
    /// `get_or_load` of a value that is kept as JSON.
    ///
    /// # Errors
    /// As `get_or_load_as`.
    pub async fn get_or_load_json<T, F, E, L>(
        &self,
        key: impl Into<Key>,
        options: LoadOptions,
        loader: F,
    ) -> Result<Option<T>>
    where
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = std::result::Result<Option<T>, E>> + Send + 'static,
        T: Serialize + DeserializeOwned,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.get_or_load_as::<Json, T, F, E, L>(key, options, loader).await
    }

    /// `get_or_load` of a value that is kept in this format. What cannot be read as one of this type is loaded anew.
    /// `options.default` holds bytes of the format.
    ///
    /// # Errors
    /// As `get_or_load`; `InvalidArgument` and `Corrupt` when the format cannot hold the value.
    pub async fn get_or_load_as<C, T, F, E, L>(
        &self,
        key: impl Into<Key>,
        options: LoadOptions,
        loader: F,
    ) -> Result<Option<T>>
    where
        C: Codec,
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = std::result::Result<Option<T>, E>> + Send + 'static,
        T: Serialize + DeserializeOwned,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let key = key.into();
        let loader = Arc::new(Mutex::new(Some(loader)));
        let mut again = true;
        loop {
            let mine = Arc::clone(&loader);
            let load = move || async move {
                let loader = mine.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some(loader) = loader else { return Err(asked_twice().into()) };
                let loaded = loader().await.map_err(Into::into)?;
                Ok::<_, Box<dyn StdError + Send + Sync>>(
                    loaded.as_ref().map(C::encode).transpose()?,
                )
            };
            let entry = self.get_or_load(key.clone(), options.clone(), load).await?;
            let Some(entry) = entry else { return Ok(None) };
            let unused = loader.lock().unwrap_or_else(PoisonError::into_inner).is_some();
            match C::decode(&entry.value) {
                Ok(value) => return Ok(Some(value)),
                Err(_) if again && unused => self.invalidate(key.clone()).await?,
                Err(error) => return Err(error),
            }
            again = false;
        }
    }
}

fn asked_twice() -> Error {
    Error::new(ErrorKind::Internal, "a loader was asked for twice")
}
