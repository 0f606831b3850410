// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Owned} from "./Owned.sol";

/// Burns whatever gas it is given, as a factory or as a wallet: by copying memory, which costs more gas than time.
contract Burner {
    fallback() external {
        assembly {
            for {} 1 {} {
                mcopy(0, 0x20, 0x80000)
            }
        }
    }
}

/// Says yes with more in the word than the magic value.
contract Dirty {
    function isValidSignature(bytes32, bytes calldata) external pure {
        assembly {
            mstore(0, 0x1626ba7e00000000000000000000000000000000000000000000000000000001)
            return(0, 32)
        }
    }
}

/// Says yes as a boolean, to anything.
contract Yes {
    fallback() external {
        assembly {
            mstore(0, 1)
            return(0, 32)
        }
    }
}

/// Says yes, and then a megabyte of nothing.
contract Verbose {
    fallback() external {
        assembly {
            mstore(0, 0x1626ba7e00000000000000000000000000000000000000000000000000000000)
            return(0, 0x100000)
        }
    }
}

/// Makes a wallet for whoever asks, but not where it was said to be.
contract Elsewhere {
    function create(address owner, bytes32 salt) external returns (address) {
        return address(new Owned{salt: salt}(owner));
    }
}
