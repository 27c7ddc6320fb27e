//! Want of what the program needs, and clients that do not do their part.

mod bulk;
mod descriptors;
mod disk;
mod hanging_disk;
mod slow_reader;
