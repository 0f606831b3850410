// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MAGIC} from "./Recovery.sol";

/// Judges signatures of contracts that may not be there yet (ERC-6492), for chains where nobody can run code that is
/// not deployed. It makes the wallet first, and so says nothing about one whose factory fails.
contract Validator {
    bytes32 private constant WRAPPED = 0x6492649264926492649264926492649264926492649264926492649264926492;

    function isValidSig(address signer, bytes32 digest, bytes calldata signature) external returns (bool) {
        uint256 length = signature.length;
        if (length < 32 || bytes32(signature[length - 32:]) != WRAPPED) return ask(signer, digest, signature);
        (address factory, bytes memory data, bytes memory inner) =
            abi.decode(signature[:length - 32], (address, bytes, bytes));
        if (signer.code.length == 0) {
            (bool made,) = factory.call(data);
            require(made, "the factory fails");
        }
        return ask(signer, digest, inner);
    }

    function ask(address signer, bytes32 digest, bytes memory signature) private view returns (bool) {
        require(signer.code.length > 0, "no contract");
        (bool answered, bytes memory said) =
            signer.staticcall(abi.encodeWithSelector(MAGIC, digest, signature));
        return answered && said.length == 32 && bytes32(said) == bytes32(MAGIC);
    }
}
