//! The binary ebbline-agent: load, attach, drain, enrich, batch, hand on.
