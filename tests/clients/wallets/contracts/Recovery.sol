// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

// What EIP-1271 has a wallet say to a good signature, and what these say to others.
bytes4 constant MAGIC = 0x1626ba7e;
bytes4 constant REFUSED = 0xffffffff;

library Recovery {
    /// Who made a signature of 65 bytes; the zero address for anything that is none.
    function signer(bytes32 digest, bytes calldata signature) internal pure returns (address) {
        if (signature.length != 65) return address(0);
        return ecrecover(digest, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64]));
    }
}
