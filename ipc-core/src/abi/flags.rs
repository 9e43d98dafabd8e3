//! Flags of channels and connections; the values are Neutrino's where Neutrino has them.

use bitflags::bitflags;

bitflags! {
    /// What a channel asks for when it is created (CHN-2..5).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct ChannelFlags: u32 {
        /// Receiving threads keep their own priority (PRI-1).
        #[doc(alias = "_NTO_CHF_FIXED_PRIORITY")]
        const FIXED_PRIORITY = 0x0001;
        /// A REPLY-blocked client that wants out is announced by a pulse and stays blocked (CHN-2).
        #[doc(alias = "_NTO_CHF_UNBLOCK")]
        const UNBLOCK = 0x0002;
        /// A pulse for each thread of the process that ends and had sent or received.
        #[doc(alias = "_NTO_CHF_THREAD_DEATH")]
        const THREAD_DEATH = 0x0004;
        /// A pulse when the last connection of a client process goes (CHN-3).
        #[doc(alias = "_NTO_CHF_DISCONNECT")]
        const DISCONNECT = 0x0008;
        /// The info structure carries the length that the client sent; here it always does.
        #[doc(alias = "_NTO_CHF_SENDER_LEN")]
        const SENDER_LEN = 0x0020;
        /// A pulse for each connection of this process whose server is gone (CHN-4).
        #[doc(alias = "_NTO_CHF_COID_DISCONNECT")]
        const COID_DISCONNECT = 0x0040;
        /// The info structure carries the size of the client's reply buffer; here it always does.
        #[doc(alias = "_NTO_CHF_REPLY_LEN")]
        const REPLY_LEN = 0x0080;
        /// Only connections of this process.
        #[doc(alias = "_NTO_CHF_PRIVATE")]
        const PRIVATE = 0x0400;
        /// Takes the attaches that name another node: the channel of the node's qnet. Only the owner
        /// of the node is believed as such, by clients and servers both.
        const ROUTER = 0x0001_0000;
    }
}

bitflags! {
    /// What a client asks for when it attaches.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct AttachFlags: u32 {
        /// The id comes from the side-channel space (CHN-6).
        const SIDE_CHANNEL = 0x0001;
        /// The connection speaks for a process of another node (design: speaking for others). Believed
        /// only from the owner of the node.
        const SPEAKS_FOR = 0x0002;
    }
}
