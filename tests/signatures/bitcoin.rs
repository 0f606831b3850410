//! Bitcoin's signatures, made by another library and spoiled in the ways that have a name.

pub(crate) mod wallet;

use bip322::sign_simple;
use bitcoin::{Address, Network, PublicKey, ScriptBuf, TapSighashType, hashes::Hash as _};
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL};
use siwx_gateway::chain::{Accepts, Scheme, SignatureError};

use self::wallet::{KINDS, Kind, MAINNET, WITNESSES, Wallet, case, encoded, negate, with_high_s};
use crate::Random;

const TESTNET3: &str = "bip122:000000000933ea01ad0ee984209779ba";
const TESTNET4: &str = "bip122:00000000da84f2bafbbc53dee25a72ae";
const SIGNET: &str = "bip122:00000008819873e925422c1ff0f99f7c";
const REGTEST: &str = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328";
const LITECOIN: &str = "bip122:12a765e31ffd4059bada1e25190f6e98";

const TEXT: &str = "api.example.com wants you to sign in with your Bitcoin account";

fn wallet() -> Wallet {
    Wallet::new(&mut Random(322))
}

impl Wallet {
    /// A good signature in base64, and its scheme: the old form for addresses without a witness.
    fn signature(&self, kind: Kind) -> (String, Scheme) {
        match kind {
            Kind::P2pkh => (BASE64.encode(&self.recoverable(TEXT, 31)), Scheme::Bip137),
            Kind::P2pkhUncompressed => (BASE64.encode(&self.recoverable(TEXT, 27)), Scheme::Bip137),
            _ => (BASE64.encode(&encoded(&self.witness(kind, TEXT))), Scheme::Bip322),
        }
    }

    /// The verdict on bytes in base64, as of an address on the main network.
    fn verdict(&self, kind: Kind, signature: &[u8]) -> Result<Scheme, SignatureError> {
        self.verdict_on(kind, BASE64.encode(signature))
    }

    fn verdict_on(&self, kind: Kind, signature: String) -> Result<Scheme, SignatureError> {
        case(MAINNET, &self.address(kind, Network::Bitcoin).to_string(), TEXT, signature).verify(&Accepts::all())
    }
}

#[test]
fn every_kind_of_address_signs_on_its_networks() {
    let wallet = wallet();
    let networks = [
        (Network::Bitcoin, MAINNET),
        (Network::Testnet, TESTNET3),
        (Network::Testnet4, TESTNET4),
        (Network::Signet, SIGNET),
        (Network::Regtest, REGTEST),
    ];
    for (network, chain) in networks {
        // What the reference of a chain is: the first half of the hash of its first block, backwards.
        let first = bitcoin::constants::genesis_block(network).block_hash().to_string();
        assert_eq!(chain, format!("bip122:{}", &first[..32]), "{network}");
        for kind in KINDS {
            let address = wallet.address(kind, network).to_string();
            let (signature, scheme) = wallet.signature(kind);
            assert_eq!(
                case(chain, &address, TEXT, signature).verify(&Accepts::all()),
                Ok(scheme),
                "{network} {kind:?}"
            );
        }
    }
}

#[test]
fn an_address_of_the_wrong_network() {
    let wallet = wallet();
    let wrong = [
        (Network::Bitcoin, TESTNET3),
        (Network::Bitcoin, SIGNET),
        (Network::Bitcoin, REGTEST),
        (Network::Bitcoin, LITECOIN),
        (Network::Testnet, MAINNET),
        (Network::Testnet, LITECOIN),
        (Network::Regtest, MAINNET),
    ];
    let refused = Err(SignatureError::MalformedAddress);
    for (network, chain) in wrong {
        for kind in KINDS {
            let address = wallet.address(kind, network).to_string();
            let case = case(chain, &address, TEXT, wallet.signature(kind).0);
            assert_eq!(case.verify(&Accepts::all()), refused, "{address} on {chain}");
        }
    }
    // In base58 the test networks are one.
    for (network, chain) in [(Network::Testnet, REGTEST), (Network::Regtest, SIGNET)] {
        let address = wallet.address(Kind::P2wpkh, network).to_string();
        let case = case(chain, &address, TEXT, wallet.signature(Kind::P2wpkh).0);
        assert_eq!(case.verify(&Accepts::all()), refused, "{address} on {chain}");
    }
}

#[test]
fn an_address_that_is_none() {
    let (signature, _) = wallet().signature(Kind::P2wpkh);
    let long = format!("bc1q{}", "q".repeat(100_000));
    for address in ["", "bc1", "bc1q", "0xe6332bAbf154B2D1BA63117506363B3C655F3391", "é", &long] {
        let case = case(MAINNET, address, TEXT, signature.clone());
        assert_eq!(case.verify(&Accepts::all()), Err(SignatureError::MalformedAddress), "{address}");
    }
}

#[test]
fn an_uncompressed_header_on_a_compressed_p2pkh_address_and_the_reverse() {
    let wallet = wallet();
    let mismatch = Err(SignatureError::SignatureMismatch);
    assert_eq!(wallet.verdict(Kind::P2pkh, &wallet.recoverable(TEXT, 27)), mismatch);
    assert_eq!(wallet.verdict(Kind::P2pkhUncompressed, &wallet.recoverable(TEXT, 31)), mismatch);
}

#[test]
fn headers_that_name_another_kind_of_address() {
    let wallet = wallet();
    let rows = [
        (Kind::P2pkh, [false, true, false, false]),
        (Kind::P2pkhUncompressed, [true, false, false, false]),
        (Kind::Nested, [false, true, true, true]),
        (Kind::P2wpkh, [false, true, true, true]),
        (Kind::P2tr, [false, true, true, true]),
    ];
    for (kind, taken) in rows {
        for (header, taken) in [27, 31, 35, 39].into_iter().zip(taken) {
            let expected = if taken { Ok(Scheme::Bip137) } else { Err(SignatureError::SignatureMismatch) };
            assert_eq!(wallet.verdict(kind, &wallet.recoverable(TEXT, header)), expected, "{kind:?}, {header}");
        }
    }
}

#[test]
fn a_header_outside_27_to_42() {
    let wallet = wallet();
    for header in (0..=26).chain(43..=255) {
        for kind in KINDS {
            let mut bytes = wallet.recoverable(TEXT, 31);
            bytes[0] = header;
            let verdict = wallet.verdict(kind, &bytes);
            assert_eq!(verdict, Err(SignatureError::MalformedSignature), "{kind:?}, {header}");
        }
    }
}

/// For an r above the group order, of which there is none that anybody could find.
#[test]
fn recovery_ids_that_no_wallet_makes() {
    let wallet = wallet();
    for kind in KINDS {
        let base = if kind == Kind::P2pkhUncompressed { 27 } else { 31 };
        let mut bytes = wallet.recoverable(TEXT, base);
        bytes[0] += 2;
        assert_eq!(wallet.verdict(kind, &bytes), Err(SignatureError::SignatureMismatch), "{kind:?}");
    }
}

#[test]
fn a_high_s() {
    let wallet = wallet();
    let mut bytes = wallet.recoverable(TEXT, 31);
    negate(&mut bytes[33..]);
    // The id of the twin is the other one.
    bytes[0] = 31 + ((bytes[0] - 31) ^ 1);
    for kind in KINDS {
        assert_eq!(wallet.verdict(kind, &bytes), Err(SignatureError::HighS), "{kind:?}");
    }
    for kind in [Kind::Nested, Kind::P2wpkh] {
        let mut items = wallet.witness(kind, TEXT);
        let der = items[0].split_last().expect("a signature").1;
        items[0] = [&with_high_s(der)[..], &[1]].concat();
        assert_eq!(wallet.verdict(kind, &encoded(&items)), Err(SignatureError::HighS), "{kind:?}");
    }
}

#[test]
fn an_empty_witness() {
    let wallet = wallet();
    for kind in KINDS {
        for signature in ["AA==", "smpAA==", "smp"] {
            let verdict = wallet.verdict_on(kind, signature.to_owned());
            assert_eq!(verdict, Err(SignatureError::MalformedSignature), "{kind:?}, {signature}");
        }
        for items in [vec![vec![]], vec![vec![], vec![]]] {
            let verdict = wallet.verdict(kind, &encoded(&items));
            assert_eq!(verdict, Err(SignatureError::MalformedSignature), "{kind:?}, {items:?}");
        }
    }
}

#[test]
fn a_trailing_byte() {
    let wallet = wallet();
    for kind in KINDS {
        let (signature, _) = wallet.signature(kind);
        for byte in [0, 1, 255] {
            let mut bytes = BASE64.decode(signature.as_bytes()).expect("base64");
            bytes.push(byte);
            assert_eq!(wallet.verdict(kind, &bytes), Err(SignatureError::MalformedSignature), "{kind:?}, {byte}");
        }
    }
}

#[test]
fn every_cut_is_refused() {
    let wallet = wallet();
    for kind in KINDS {
        let bytes = BASE64.decode(wallet.signature(kind).0.as_bytes()).expect("base64");
        for length in 0..bytes.len() {
            assert_eq!(
                wallet.verdict(kind, &bytes[..length]),
                Err(SignatureError::MalformedSignature),
                "{kind:?}, {length} of {} bytes",
                bytes.len()
            );
        }
    }
}

#[test]
fn an_annex() {
    let wallet = wallet();
    for annex in [vec![0x50], vec![0x50, 1, 2, 3]] {
        let items = [wallet.witness(Kind::P2tr, TEXT), vec![annex]].concat();
        assert_eq!(wallet.verdict(Kind::P2tr, &encoded(&items)), Err(SignatureError::MalformedSignature), "{items:?}");
    }
}

#[test]
fn an_explicit_sighash_of_0() {
    let wallet = wallet();
    let mut signature = wallet.taproot(TEXT, TapSighashType::Default);
    assert_eq!(wallet.verdict(Kind::P2tr, &encoded(std::slice::from_ref(&signature))), Ok(Scheme::Bip322));
    signature.push(0);
    assert_eq!(wallet.verdict(Kind::P2tr, &encoded(&[signature])), Err(SignatureError::MalformedSignature));
}

#[test]
fn a_sighash_other_than_all() {
    let wallet = wallet();
    let all = wallet.taproot(TEXT, TapSighashType::All);
    assert_eq!(wallet.verdict(Kind::P2tr, &encoded(std::slice::from_ref(&all))), Ok(Scheme::Bip322));
    assert_eq!(
        wallet.verdict(Kind::P2tr, &encoded(&[all[..64].to_vec()])),
        Err(SignatureError::SignatureMismatch),
        "the other digest"
    );
    for kind in [
        TapSighashType::None,
        // Of an input with one output, this signs as much as the others; it is another kind all the same.
        TapSighashType::Single,
        TapSighashType::AllPlusAnyoneCanPay,
        TapSighashType::NonePlusAnyoneCanPay,
        TapSighashType::SinglePlusAnyoneCanPay,
    ] {
        let verdict = wallet.verdict(Kind::P2tr, &encoded(&[wallet.taproot(TEXT, kind)]));
        assert_eq!(verdict, Err(SignatureError::MalformedSignature), "{kind}");
    }
    for byte in [0, 2, 3, 0x81, 0x82, 0x83, 255] {
        for kind in [Kind::Nested, Kind::P2wpkh] {
            let mut items = wallet.witness(kind, TEXT);
            *items[0].last_mut().expect("a sighash") = byte;
            let verdict = wallet.verdict(kind, &encoded(&items));
            assert_eq!(verdict, Err(SignatureError::MalformedSignature), "{kind:?}, {byte}");
        }
    }
}

#[test]
fn a_key_that_is_not_compressed() {
    let wallet = wallet();
    let uncompressed = PublicKey::new_uncompressed(wallet.public_key().0).to_bytes();
    let mut hybrid = uncompressed.clone();
    hybrid[0] = 6 + (uncompressed[64] & 1);
    let mut compact = wallet.public_key().to_bytes().to_vec();
    compact[0] = 5;
    let mut none = compact.clone();
    none[0] = 2;
    none[1..].fill(5);
    for kind in [Kind::Nested, Kind::P2wpkh] {
        for (name, key, expected) in [
            ("uncompressed", &uncompressed, SignatureError::MalformedSignature),
            ("hybrid", &hybrid, SignatureError::MalformedSignature),
            ("compact", &compact, SignatureError::MalformedSignature),
            ("no point", &none, SignatureError::SignatureMismatch),
            ("nothing", &vec![], SignatureError::MalformedSignature),
        ] {
            let signature = wallet.witness(kind, TEXT)[0].clone();
            let verdict = wallet.verdict(kind, &encoded(&[signature, key.clone()]));
            assert_eq!(verdict, Err(expected), "{kind:?}, {name}");
        }
    }
}

/// An address may be the hash of what is no key. Whoever made it can sign nothing, and so can everybody else.
#[test]
fn an_address_of_no_key() {
    let wallet = wallet();
    let signature = wallet.witness(Kind::P2wpkh, TEXT)[0].clone();
    let compact = [&[5], &wallet.public_key().to_bytes()[1..]].concat();
    // 5³ + 7 is no square.
    let none = [&[2], &[0; 31][..], &[5]].concat();
    for key in [compact, none] {
        let hash = bitcoin::hashes::hash160::Hash::hash(&key).to_byte_array();
        let script = ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array(hash));
        let address = Address::from_script(&script, Network::Bitcoin).expect("an address").to_string();
        let case = case(MAINNET, &address, TEXT, BASE64.encode(&encoded(&[signature.clone(), key])));
        assert_eq!(case.verify(&Accepts::all()), Err(SignatureError::MalformedSignature), "{address}");
    }
    let mut x = [0; 32];
    x[31] = 5;
    let program = bitcoin::WitnessProgram::new(bitcoin::WitnessVersion::V1, &x).expect("a program");
    let address = Address::from_witness_program(program, Network::Bitcoin).to_string();
    let case = case(MAINNET, &address, TEXT, BASE64.encode(&encoded(&[vec![9; 64]])));
    assert_eq!(case.verify(&Accepts::all()), Err(SignatureError::MalformedAddress), "{address}");
}

/// BIP-66 has one way to write r and s.
#[test]
fn der_that_is_not_strict() {
    let wallet = wallet();
    let items = wallet.witness(Kind::P2wpkh, TEXT);
    let der = items[0].split_last().expect("a signature").1;
    let (r, s) = (&der[4..4 + usize::from(der[3])], &der[6 + usize::from(der[3])..]);
    let sequence = |body: &[&[u8]]| {
        let body = body.concat();
        [&[0x30, body.len() as u8], &body[..]].concat()
    };
    let integer = |bytes: &[u8]| [&[2, bytes.len() as u8], bytes].concat();
    assert_eq!(sequence(&[&integer(r), &integer(s)]), der, "the pieces are those of the whole");
    let padded = |bytes: &[u8]| integer(&[&[0], bytes].concat());
    let negative = |bytes: &[u8]| integer(&[&[bytes[0] | 0x80], &bytes[1..]].concat());
    let long = |bytes: &[u8]| [&[2, 0x81, bytes.len() as u8], bytes].concat();
    let rows = [
        ("a zero before r", sequence(&[&padded(r), &integer(s)])),
        ("a zero before s", sequence(&[&integer(r), &padded(s)])),
        ("a negative s", sequence(&[&integer(r), &negative(s)])),
        ("an s of no bytes", sequence(&[&integer(r), &integer(&[])])),
        ("r and s of 0", sequence(&[&integer(&[0]), &integer(&[0])])),
        ("a long length of r", sequence(&[&long(r), &integer(s)])),
        ("a long length of all", [&[0x30, 0x81, der[1]], &der[2..]].concat()),
        ("a length that is one more", [&[0x30, der[1] + 1], &der[2..]].concat()),
        ("a third number", sequence(&[&integer(r), &integer(s), &integer(&[1])])),
        ("one number", sequence(&[&integer(r)])),
        ("a byte more", [der, &[0]].concat()),
        ("an s of 33 bytes", sequence(&[&integer(r), &integer(&[&[1], &[7; 32][..]].concat())])),
        ("a set", [&[0x31], &der[1..]].concat()),
        ("r ‖ s", [vec![7; 32], vec![7; 32]].concat()),
        ("nothing", vec![]),
    ];
    for (name, der) in rows {
        let items = [[&der[..], &[1]].concat(), items[1].clone()];
        let verdict = wallet.verdict(Kind::P2wpkh, &encoded(&items));
        assert_eq!(verdict, Err(SignatureError::MalformedSignature), "{name}");
    }
}

/// Compact sizes have one form for each number, and a good witness has the shortest alone.
#[test]
fn counts_and_lengths_in_a_longer_form() {
    let wallet = wallet();
    let bytes = encoded(&wallet.witness(Kind::P2wpkh, TEXT));
    let rows = [
        ("count", [&[0xfd, 2, 0], &bytes[1..]].concat()),
        ("count in four bytes", [&[0xfe, 2, 0, 0, 0], &bytes[1..]].concat()),
        ("length", [&[2, 0xfd, bytes[1], 0], &bytes[2..]].concat()),
        ("a count that would be a lot", [&[0xff; 9], &bytes[1..]].concat()),
        ("a length that would be a lot", [&[2], &[0xff; 9][..], &bytes[2..]].concat()),
    ];
    for (name, bytes) in rows {
        assert_eq!(wallet.verdict(Kind::P2wpkh, &bytes), Err(SignatureError::MalformedSignature), "{name}");
    }
}

#[test]
fn base64_that_is_not_standard() {
    let wallet = wallet();
    for kind in KINDS {
        let (good, scheme) = wallet.signature(kind);
        assert_eq!(wallet.verdict_on(kind, good.clone()), Ok(scheme));
        let bytes = BASE64.decode(good.as_bytes()).expect("base64");
        assert!(good.contains(['+', '/']), "{kind:?} would be the same in both alphabets: {good}");
        let hex = data_encoding::HEXLOWER.encode(&bytes);
        let spellings = [
            ("url-safe", BASE64URL.encode(&bytes)),
            ("white space before", format!(" {good}")),
            ("white space after", format!("{good}\n")),
            ("padding too much", format!("{good}====")),
            ("hex", hex.clone()),
            ("hex with 0x", format!("0x{hex}")),
            ("twice", format!("{good}{good}")),
            ("padding in the middle", format!("{}{}", BASE64.encode(&bytes[..1]), BASE64.encode(&bytes[1..]))),
        ];
        for (name, signature) in spellings {
            let verdict = wallet.verdict_on(kind, signature);
            assert_eq!(verdict, Err(SignatureError::MalformedSignature), "{kind:?}, {name}");
        }
        let bare = BASE64_NOPAD.encode(&bytes);
        if bare != good {
            let mut stray = good.clone().into_bytes();
            stray[bare.len() - 1] += 1;
            for signature in [bare, String::from_utf8(stray).expect("ASCII")] {
                let verdict = wallet.verdict_on(kind, signature.clone());
                assert_eq!(verdict, Err(SignatureError::MalformedSignature), "{kind:?}, {signature}");
            }
        }
    }
}

#[test]
fn prefixes() {
    let wallet = wallet();
    let malformed = Err(SignatureError::MalformedSignature);
    let rows = [
        ("once", "smp", Ok(Scheme::Bip322)),
        ("twice", "smpsmp", malformed),
        ("in upper case", "SMP", malformed),
        ("with a capital", "Smp", malformed),
        ("a space after it", "smp ", malformed),
        ("a space before it", " smp", malformed),
        ("a colon", "smp:", malformed),
        ("cut", "sm", malformed),
        ("unknown", "foo", malformed),
        ("of the full form", "ful", Err(SignatureError::Inconclusive)),
        ("of a proof of funds", "pof", Err(SignatureError::Inconclusive)),
        ("two of them", "smpful", malformed),
    ];
    for (name, prefix, expected) in rows {
        for kind in WITNESSES {
            let (good, _) = wallet.signature(kind);
            assert_eq!(wallet.verdict_on(kind, format!("{prefix}{good}")), expected, "{kind:?}, {name}");
        }
    }
    // The old form has none.
    for kind in KINDS {
        let signature = BASE64.encode(&wallet.recoverable(TEXT, 31));
        assert_eq!(wallet.verdict_on(kind, format!("smp{signature}")), malformed, "{kind:?}");
    }
}

/// A script is no key, whichever form the signature has, and so is a program without a meaning.
#[test]
fn p2wsh_and_unknown_programs() {
    let wallet = wallet();
    let script = bitcoin::script::Builder::new()
        .push_int(1)
        .push_slice(wallet.public_key().to_bytes())
        .push_int(1)
        .push_opcode(bitcoin::opcodes::all::OP_CHECKMULTISIG)
        .into_script();
    let p2wsh = Address::p2wsh(&script, Network::Bitcoin);
    let multisig = sign_simple(&p2wsh, TEXT, &[wallet.key()], Some(&script)).expect("a witness").to_vec();
    let later = bitcoin::WitnessProgram::new(bitcoin::WitnessVersion::V2, &[7; 32]).expect("a program");
    let short = bitcoin::WitnessProgram::new(bitcoin::WitnessVersion::V1, &[7; 2]).expect("a program");
    let programs = [later, short].map(|program| Address::from_witness_program(program, Network::Bitcoin));
    for address in programs.iter().chain([&p2wsh]) {
        for bytes in [
            encoded(&multisig),
            encoded(&wallet.witness(Kind::P2wpkh, TEXT)),
            wallet.recoverable(TEXT, 31),
            wallet.recoverable(TEXT, 39),
        ] {
            let case = case(MAINNET, &address.to_string(), TEXT, BASE64.encode(&bytes));
            assert_eq!(case.verify(&Accepts::all()), Err(SignatureError::Inconclusive), "{address}");
        }
    }
}

/// P2PKH has no witness, and a taproot address is none of a witness with a key in it.
#[test]
fn witnesses_of_another_kind_of_address() {
    let wallet = wallet();
    use SignatureError::{MalformedSignature, SignatureMismatch};
    let rows = [
        (Kind::P2pkh, Kind::P2wpkh, MalformedSignature),
        (Kind::P2pkh, Kind::P2tr, MalformedSignature),
        (Kind::P2wpkh, Kind::P2tr, MalformedSignature),
        (Kind::P2wpkh, Kind::Nested, SignatureMismatch),
        (Kind::Nested, Kind::P2wpkh, SignatureMismatch),
        (Kind::Nested, Kind::P2tr, MalformedSignature),
        (Kind::P2tr, Kind::P2wpkh, MalformedSignature),
    ];
    for (address, signed, expected) in rows {
        let bytes = encoded(&wallet.witness(signed, TEXT));
        assert_eq!(wallet.verdict(address, &bytes), Err(expected), "{signed:?} for {address:?}");
    }
}
