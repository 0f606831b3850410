// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Recovery, MAGIC, REFUSED} from "./Recovery.sol";

/// A wallet with one owner, who may hand it on (EIP-1271).
contract Owned {
    address public owner;

    constructor(address first) {
        owner = first;
    }

    function setOwner(address next) external {
        require(msg.sender == owner, "not the owner");
        owner = next;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        return Recovery.signer(digest, signature) == owner ? MAGIC : REFUSED;
    }
}

/// Makes wallets at addresses that are known before (EIP-1014). Made twice is made once.
contract Factory {
    function create(address owner, bytes32 salt) external returns (address wallet) {
        wallet = addressOf(owner, salt);
        if (wallet.code.length == 0) {
            require(address(new Owned{salt: salt}(owner)) == wallet, "another address");
        }
    }

    function addressOf(address owner, bytes32 salt) public view returns (address) {
        bytes32 code = keccak256(abi.encodePacked(type(Owned).creationCode, abi.encode(owner)));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, code)))));
    }
}
