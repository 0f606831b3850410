//! The output key of a taproot address that has no scripts (BIP-341, BIP-86).

use k256::{
    AffinePoint, FieldBytes, ProjectivePoint, Scalar,
    elliptic_curve::{
        PrimeField as _,
        point::{AffineCoordinates as _, BatchNormalize as _},
    },
    schnorr::VerifyingKey,
};

use super::hash::tagged;

/// The x coordinate of the output key of an internal key, whichever its y is. Nothing for the few points that cannot
/// be one.
pub fn output_key(internal: &AffinePoint) -> Option<[u8; 32]> {
    // This has the even y, as a key that is known by its x alone.
    let internal = VerifyingKey::try_from(*internal).ok()?;
    let tweak = tweak(&internal.to_bytes().into())?;
    let output = ProjectivePoint::mul_by_generator_vartime(&tweak) + *internal.as_affine();
    let [output] = ProjectivePoint::batch_normalize_vartime(&[output]);
    (output != AffinePoint::IDENTITY).then(|| output.x().into())
}

/// What is added to the logarithm of an internal key, given by its x coordinate (BIP-341, "Script validation rules").
/// Nothing where the hash is no scalar, which nobody will meet.
pub fn tweak(internal: &[u8; 32]) -> Option<Scalar> {
    Scalar::from_repr(FieldBytes::from(tagged("TapTweak", &[internal]))).into_option()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// BIP-86, "Test vectors", and the first of the wallet vectors of BIP-341.
    #[test]
    fn output_keys_of_the_standards() {
        let rows = [
            (
                "cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115",
                "a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c",
            ),
            (
                "83dfe85a3151d2517290da461fe2815591ef69f2b18a2ce63f01697a8b313145",
                "a82f29944d65b86ae6b5e5cc75e294ead6c59391a1edc5e016e3498c67fc7bbb",
            ),
            (
                "d6889cb081036e0faefa3a35157ad71086b123b2b144b649798b494c300a961d",
                "53a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343",
            ),
        ];
        for (internal, output) in rows {
            let x = HEXLOWER.decode(internal.as_bytes()).expect("hex");
            let even = *VerifyingKey::from_slice(&x).expect("a point").as_affine();
            for point in [even, -even] {
                let found = output_key(&point).map(|key| HEXLOWER.encode(&key));
                assert_eq!(found.as_deref(), Some(output), "{internal}");
            }
        }
        assert_eq!(output_key(&AffinePoint::IDENTITY), None);
    }
}
