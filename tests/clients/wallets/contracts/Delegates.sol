// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Recovery, MAGIC, REFUSED} from "./Recovery.sol";

/// Code that an account with a key delegates to (EIP-7702). It takes signatures of its own form: a byte 01, and what
/// the account's key signed.
contract Delegate {
    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        if (signature.length != 66 || signature[0] != 0x01) return REFUSED;
        return Recovery.signer(digest, signature[1:]) == address(this) ? MAGIC : REFUSED;
    }
}

/// Code for an account that knows nothing of signatures.
contract Mute {
    receive() external payable {}
}
