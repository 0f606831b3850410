//! ECDSA on secp256k1, as signatures of texts have it (SEC 1, section 4.1).
//!
//! 1. r and s are from 1 to below the group order, and s at most half of it: else anyone could make a second signature
//!    from the first (EIP-2, BIP-62 rule 5).
//! 2. A key is recovered for an r below the group order alone. Recovery ids 2 and 3 are for the others; no wallet
//!    makes them for a text.

use k256::{
    AffinePoint, FieldBytes, ProjectivePoint, Scalar,
    ecdsa::Signature,
    elliptic_curve::{
        ops::{Invert as _, MulByGeneratorVartime as _, Reduce as _},
        point::{AffineCoordinates as _, BatchNormalize as _, DecompressPoint as _},
        scalar::IsHigh as _,
        subtle::Choice,
    },
};

use super::SignatureError;

/// Reads `r ‖ s`.
pub(super) fn read(bytes: &[u8; 64]) -> Result<Signature, SignatureError> {
    low(Signature::from_slice(bytes).map_err(|_| SignatureError::MalformedSignature)?)
}

/// Reads the DER form of r and s, the strict one alone (BIP-66).
pub(super) fn read_der(bytes: &[u8]) -> Result<Signature, SignatureError> {
    low(Signature::from_der(bytes).map_err(|_| SignatureError::MalformedSignature)?)
}

fn low(signature: Signature) -> Result<Signature, SignatureError> {
    if signature.s().is_high().into() {
        return Err(SignatureError::HighS);
    }
    Ok(signature)
}

/// The point whose logarithm made a signature of a digest: r⁻¹(sR − zG), SEC 1 §4.1.6 with the one R that r and the
/// parity of its y name. Nothing if there is no such R.
///
/// The crate's own `recover_from_prehash` inverts in constant time, as signing must. Nothing here is secret, and
/// two inversions in variable time save 6 of its 71 µs.
pub(super) fn recovered(digest: &[u8; 32], signature: &Signature, odd: bool) -> Option<AffinePoint> {
    let (r, s) = signature.split_scalars();
    let point = AffinePoint::decompress(&r.to_bytes(), Choice::from(u8::from(odd))).into_option()?;
    let inverse = *r.invert_vartime();
    let z = Scalar::reduce(&FieldBytes::from(*digest));
    Some(combined(&-(inverse * z), &(inverse * *s), &point))
}

/// Whether [`recovered`] would give this key: whether the R that the key implies, s⁻¹(zG + rQ), is the one that r and
/// the parity name. Multiplying R = s⁻¹(zG + rQ) out gives Q = r⁻¹(sR − zG), so the two say the same of any Q but the
/// identity, which no account has. It saves the square root.
pub(super) fn made_by(key: &AffinePoint, digest: &[u8; 32], signature: &Signature, odd: bool) -> bool {
    let (r, s) = signature.split_scalars();
    let inverse = *s.invert_vartime();
    let z = Scalar::reduce(&FieldBytes::from(*digest));
    let point = combined(&(inverse * z), &(inverse * *r), key);
    // r itself, not r modulo the order: recovery ids 2 and 3 are not taken.
    point != AffinePoint::IDENTITY && point.x() == r.to_bytes() && bool::from(point.y_is_odd()) == odd
}

/// aG + bP.
fn combined(a: &Scalar, b: &Scalar, point: &AffinePoint) -> AffinePoint {
    let sum = ProjectivePoint::mul_by_generator_and_mul_add_vartime(a, b, &(*point).into());
    let [sum] = ProjectivePoint::batch_normalize_vartime(&[sum]);
    sum
}
