// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Recovery, MAGIC} from "./Recovery.sol";

/// A wallet of several owners which signs as Safe does: owners sign typed data `SafeMessage` over the digest, bound to
/// this wallet and its chain, and stand in the order of their addresses. What they have approved on the chain needs no
/// signature at all. It reverts on whatever it refuses.
contract Multisig {
    bytes32 private constant DOMAIN = keccak256("EIP712Domain(uint256 chainId,address verifyingContract)");
    bytes32 private constant MESSAGE = keccak256("SafeMessage(bytes message)");

    mapping(address => bool) public isOwner;
    mapping(bytes32 => bool) public approved;
    uint256 public immutable threshold;

    constructor(address[] memory owners, uint256 needed) {
        threshold = needed;
        for (uint256 i = 0; i < owners.length; i++) isOwner[owners[i]] = true;
    }

    /// What the owners sign for a digest.
    function messageHash(bytes32 digest) public view returns (bytes32) {
        bytes32 domain = keccak256(abi.encode(DOMAIN, block.chainid, address(this)));
        bytes32 message = keccak256(abi.encode(MESSAGE, keccak256(abi.encode(digest))));
        return keccak256(abi.encodePacked(hex"1901", domain, message));
    }

    /// Approves a digest on the chain, by as many owners as a signature needs.
    function approve(bytes32 digest, bytes calldata signatures) external {
        check(digest, signatures);
        approved[messageHash(digest)] = true;
    }

    function isValidSignature(bytes32 digest, bytes calldata signatures) external view returns (bytes4) {
        if (signatures.length == 0) {
            require(approved[messageHash(digest)], "Hash not approved");
        } else {
            check(digest, signatures);
        }
        return MAGIC;
    }

    function check(bytes32 digest, bytes calldata signatures) private view {
        require(signatures.length >= 65 * threshold, "GS020");
        bytes32 signed = messageHash(digest);
        address last = address(0);
        for (uint256 i = 0; i < threshold; i++) {
            address owner = Recovery.signer(signed, signatures[65 * i:65 * (i + 1)]);
            require(owner > last && isOwner[owner], "GS026");
            last = owner;
        }
    }
}
