//! The adapters: one file for each library.

pub mod digests;
pub mod overlay;
pub mod pleach;

#[cfg(feature = "peers")]
pub mod ethrex;
#[cfg(feature = "peers")]
pub mod fuel;
#[cfg(feature = "peers")]
pub mod jmt;
#[cfg(feature = "peers")]
pub mod monotree;
#[cfg(feature = "peers")]
pub mod nervos;
#[cfg(feature = "peers")]
pub mod nomt;
