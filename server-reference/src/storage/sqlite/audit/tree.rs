//! The Merkle tree of RFC 6962 over the records of a chain, as far as its root and what is added need it.

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256.
pub(super) type Sha256 = [u8; 32];

/// The perfect subtrees that a tree consists of, the largest first: one for each bit of its size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
    size: u64,
    roots: Vec<Sha256>,
}

impl Tree {
    /// A tree of so many leaves, from its stored form; none if it is not that of one.
    pub(super) fn stored(size: u64, bytes: &[u8]) -> Option<Self> {
        let (roots, rest) = bytes.as_chunks();
        let whole = rest.is_empty() && roots.len() == size.count_ones() as usize;
        whole.then(|| Self { size, roots: roots.to_vec() })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.roots.concat()
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn push(&mut self, leaf: &[u8]) {
        let mut root = sha256(&[&[0], leaf]);
        for _ in 0..self.size.trailing_ones() {
            // There are as many as the size has bits.
            if let Some(left) = self.roots.pop() {
                root = sha256(&[&[1], &left, &root]);
            }
        }
        self.roots.push(root);
        self.size += 1;
    }

    pub(super) fn root(&self) -> Sha256 {
        let mut roots = self.roots.iter().rev();
        let Some(&last) = roots.next() else { return sha256(&[]) };
        roots.fold(last, |right, left| sha256(&[&[1], left, &right]))
    }
}

pub(super) fn sha256(parts: &[&[u8]]) -> Sha256 {
    let mut hash = Context::new(&SHA256);
    parts.iter().for_each(|part| hash.update(part));
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::hex;

    /// Those that the tests of Certificate Transparency have.
    #[test]
    fn the_roots_are_those_of_rfc_6962() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::default();
        for (leaf, root) in leaves.iter().zip(roots) {
            tree.push(leaf);
            assert_eq!(hex(&tree.root()), root, "of {}", tree.size());
            assert_eq!(Tree::stored(tree.size(), &tree.bytes()).as_ref(), Some(&tree));
        }
        assert_eq!(Tree::stored(7, &[0; 64]), None);
    }
}
