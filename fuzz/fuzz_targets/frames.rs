#![no_main]

use siwx_gateway_fuzz::frames::judge;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| judge(bytes));
