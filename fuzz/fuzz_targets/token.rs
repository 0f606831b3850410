#![no_main]

use siwx_gateway_fuzz::token::judge;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| judge(bytes));
