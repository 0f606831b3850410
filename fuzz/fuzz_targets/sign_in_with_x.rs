#![no_main]

use siwx_gateway_fuzz::sign_in_with_x::judge;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| judge(bytes));
