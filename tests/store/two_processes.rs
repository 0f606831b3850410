//! Two stores on one file, as two processes have them, and what a crash leaves behind.
