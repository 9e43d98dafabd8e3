-- Dissector of the Qnet protocol, version 4, for Wireshark and tshark 3.6 or later. The bytes are those of
-- qnet/docs/protocol.md; `RECORDS` has every record type, and a test compares it with the Rust code.
--
--   wireshark -X lua_script:qnet/wireshark/qnet.lua capture.pcapng
--   tshark    -X lua_script:qnet/wireshark/qnet.lua -r capture.pcapng -Y qnet.message
--
-- To have it always, copy it into the folder of personal Lua plugins (Help, About Wireshark, Folders). Another
-- EtherType than 0x88B5: Edit, Preferences, Protocols, Qnet, or -o qnet.ethertype:35005.
--
-- It is one file, however long: Wireshark takes each Lua file in and below that folder for a plugin of its own, so parts
-- of one would run twice, and -X lua_script names one.

local qnet = Proto("qnet", "Qnet message passing")

qnet.prefs.ethertype = Pref.uint("EtherType", 0x88b5, "EtherType of the frames, as given to qnet --ethertype")

local VERSION = 4
local HEADER_LEN = 32
local RECORD_HEADER_LEN = 4
local TAG_LEN = 16
local CONNECT_LEN = 32
local HELLO_LEN = 88
local NAME_LEN = 64
local HANDSHAKE_LEN = 128
-- Of what programs say to servers of paths, in a message's bytes: a connect, and the path behind its header.
local IO_CONNECT = 0x100
local IO_CONNECT_LEN = 40
local MESSAGE_LEN_MAX = 16 * 1024 * 1024
local PATHS_MAX = 8
local REPLIES_MAX = 4096

local FLAG_RESPONDER = 0x01
local FLAG_SEALED = 0x02
local FLAG_CONNECT = 0x01
local FLAG_TO_CLIENT = 0x02
-- Of a Message.
local FLAG_REPORT = 0x02
local FLAG_PULSES = 0x04

-- Names ---------------------------------------------------------------------------------------------------------

local RECORD_NAMES = {
    [1] = "Message", [2] = "MessageFragment", [3] = "Reply", [4] = "ReplyFragment", [5] = "Error",
    [6] = "Pulse", [7] = "Cancel", [8] = "Detach", [9] = "Grant", [10] = "AckRanges", [11] = "Ping",
    [12] = "Pad", [13] = "Replies", [14] = "Messages", [15] = "Received",
    [16] = "Announce", [17] = "WhoIs", [18] = "IAm", [19] = "Goodbye", [20] = "Init",
    [21] = "InitAck", [22] = "Confirm", [23] = "Bye", [24] = "Reset",
}

local CANCEL_KINDS = { [1] = "unblock", [2] = "withdraw", [3] = "abandon" }
-- Codes of pulses between qnets; those of programs are 0 and above.
local PULSE_CODES = { [-37] = "events taken", [-38] = "pulses taken", [-39] = "event" }
-- Statuses that tell the client of a path to ask elsewhere, beyond all counts: 2^62 + 1 and 2^62 + 2.
local STATUSES = { ["4611686018427387905"] = "redirect", ["4611686018427387906"] = "symbolic link" }
local RESET_REASONS = { [1] = "unknown session", [2] = "name in use" }

-- Linux error numbers that servers and qnet answer with.
local ERRNOS = {
    [0] = "EOK", [1] = "EPERM", [2] = "ENOENT", [3] = "ESRCH", [4] = "EINTR", [5] = "EIO", [9] = "EBADF",
    [11] = "EAGAIN", [12] = "ENOMEM", [13] = "EACCES", [14] = "EFAULT", [16] = "EBUSY", [17] = "EEXIST",
    [18] = "EXDEV", [20] = "ENOTDIR", [21] = "EISDIR", [22] = "EINVAL", [24] = "EMFILE", [27] = "EFBIG",
    [28] = "ENOSPC", [29] = "ESPIPE", [30] = "EROFS", [36] = "ENAMETOOLONG", [38] = "ENOSYS",
    [39] = "ENOTEMPTY", [40] = "ELOOP", [71] = "EPROTO", [74] = "EBADMSG", [75] = "EOVERFLOW",
    [85] = "ERESTART", [90] = "EMSGSIZE", [95] = "EOPNOTSUPP", [98] = "EADDRINUSE", [100] = "ENETDOWN",
    [101] = "ENETUNREACH", [104] = "ECONNRESET", [110] = "ETIMEDOUT", [112] = "EHOSTDOWN",
    [113] = "EHOSTUNREACH", [125] = "ECANCELED",
}

-- Fields --------------------------------------------------------------------------------------------------------

local f = {
    version = ProtoField.uint8("qnet.version", "Version"),
    flags = ProtoField.uint8("qnet.flags", "Flags", base.HEX),
    responder = ProtoField.bool("qnet.flags.responder", "Sender answered the handshake", 8, nil, FLAG_RESPONDER),
    sealed = ProtoField.bool("qnet.flags.sealed", "A tag follows the records", 8, nil, FLAG_SEALED),
    len = ProtoField.uint16("qnet.len", "Length"),
    path = ProtoField.uint8("qnet.path", "Path of the sender"),
    packet = ProtoField.uint64("qnet.packet", "Packet number"),
    session = ProtoField.uint64("qnet.session", "Session", base.HEX),
    ack_path = ProtoField.uint8("qnet.ack_path", "Acknowledged path of the receiver"),
    ack = ProtoField.uint64("qnet.ack", "Acknowledged: next packet number expected"),
    ack_run = ProtoField.uint16("qnet.ack_run", "Packets received in a row below it"),
    ack_delay = ProtoField.uint16("qnet.ack_delay", "Acknowledgement delay (16 us)"),
    tag = ProtoField.bytes("qnet.tag", "Tag"),
    record = ProtoField.none("qnet.record", "Record"),
    record_type = ProtoField.uint8("qnet.record.type", "Type", base.DEC, RECORD_NAMES),
    record_reserved = ProtoField.uint8("qnet.record.reserved", "Reserved", base.HEX),
    record_len = ProtoField.uint16("qnet.record.len", "Length"),
    reserved = ProtoField.bytes("qnet.reserved", "Reserved"),
    call = ProtoField.uint64("qnet.call", "Call"),
    conn = ProtoField.uint64("qnet.conn", "Virtual connection"),
    message_len = ProtoField.uint32("qnet.message_len", "Bytes of the whole message"),
    reply_len = ProtoField.uint32("qnet.reply_len", "Bytes that the client's reply buffer takes"),
    tid = ProtoField.int32("qnet.tid", "Client's thread"),
    priority = ProtoField.uint8("qnet.priority", "Priority"),
    record_flags = ProtoField.uint8("qnet.record.flags", "Flags", base.HEX),
    has_connect = ProtoField.bool("qnet.record.flags.connect", "A connect follows", 8, nil, FLAG_CONNECT),
    reports = ProtoField.bool("qnet.record.flags.report", "The client wants to know of its receipt", 8, nil, FLAG_REPORT),
    has_pulses = ProtoField.bool("qnet.record.flags.pulses", "The number of pulses before it follows", 8, nil,
        FLAG_PULSES),
    pulses_before = ProtoField.uint64("qnet.pulses_before", "Pulses before it"),
    to_client = ProtoField.bool("qnet.record.flags.to_client", "Meant for the client's end", 8, nil, FLAG_TO_CLIENT),
    connect = ProtoField.none("qnet.connect", "Connect"),
    server_pid = ProtoField.int32("qnet.connect.server_pid", "Server's process"),
    server_chid = ProtoField.int32("qnet.connect.server_chid", "Server's channel"),
    client_pid = ProtoField.int32("qnet.connect.client_pid", "Client's process"),
    coid = ProtoField.int32("qnet.connect.coid", "Client's connection"),
    uid = ProtoField.uint32("qnet.connect.uid", "Client's user"),
    gid = ProtoField.uint32("qnet.connect.gid", "Client's group"),
    srcnd = ProtoField.uint32("qnet.connect.srcnd", "Server's node as the client calls it", base.HEX),
    revision = ProtoField.uint16("qnet.connect.revision", "Revision of the credentials"),
    answers_back = ProtoField.uint8("qnet.connect.answers_back", "Answers go back the same link"),
    io_path = ProtoField.string("qnet.io_connect.path", "Path asked for"),
    offset = ProtoField.uint32("qnet.offset", "Offset"),
    bytes = ProtoField.bytes("qnet.bytes", "Bytes"),
    bytes_len = ProtoField.uint32("qnet.bytes_len", "Bytes in this record"),
    status = ProtoField.int64("qnet.status", "Status"),
    reply_end = ProtoField.uint32("qnet.reply_end", "Where the last extent of the reply ends"),
    sent_len = ProtoField.uint32("qnet.sent_len", "Bytes of all extents"),
    errno = ProtoField.uint16("qnet.errno", "Error", base.DEC, ERRNOS),
    reply_count = ProtoField.uint32("qnet.reply_count", "Calls answered, from this one on"),
    sequence = ProtoField.uint64("qnet.pulse.sequence", "Number of the pulse"),
    value = ProtoField.int64("qnet.pulse.value", "Value"),
    code = ProtoField.int8("qnet.pulse.code", "Code", base.DEC, PULSE_CODES),
    cancel_kind = ProtoField.uint8("qnet.cancel.kind", "Kind", base.DEC, CANCEL_KINDS),
    limit = ProtoField.uint32("qnet.grant.limit", "Bytes that may be sent"),
    range = ProtoField.none("qnet.ack_range", "Range"),
    gap = ProtoField.uint32("qnet.ack_range.gap", "Packets missing"),
    run = ProtoField.uint32("qnet.ack_range.run", "Packets received below them"),
    hello = ProtoField.none("qnet.hello", "Hello"),
    epoch = ProtoField.uint64("qnet.epoch", "Epoch", base.HEX),
    receive_window = ProtoField.uint32("qnet.hello.receive_window", "Receive window (bytes)"),
    ack_delay_us = ProtoField.uint32("qnet.hello.ack_delay_us", "Acknowledgements held back (us)"),
    mtu = ProtoField.uint16("qnet.hello.mtu", "MTU of the link"),
    station = ProtoField.ether("qnet.hello.station", "Address of the first link"),
    name = ProtoField.string("qnet.name", "Name"),
    name_len = ProtoField.uint8("qnet.name.len", "Length of the name"),
    wanted = ProtoField.string("qnet.who_is.name", "Name looked for"),
    initiator_nonce = ProtoField.uint32("qnet.handshake.initiator_nonce", "Initiator's nonce", base.HEX),
    responder_nonce = ProtoField.uint32("qnet.handshake.responder_nonce", "Responder's nonce", base.HEX),
    other_epoch = ProtoField.uint64("qnet.handshake.other_epoch", "Other node's epoch", base.HEX),
    stamp = ProtoField.uint64("qnet.handshake.stamp", "Responder's clock"),
    cookie = ProtoField.bytes("qnet.handshake.cookie", "Cookie"),
    reset_session = ProtoField.uint64("qnet.reset.session", "Session refused", base.HEX),
    reason = ProtoField.uint8("qnet.reset.reason", "Reason", base.DEC, RESET_REASONS),
    padding = ProtoField.bytes("qnet.padding", "Padding"),
}

-- A filter by record type, `qnet.message`, `qnet.who_is`, for each type.
local type_fields = {}
for number, name in pairs(RECORD_NAMES) do
    local snake = name:gsub("(%l)(%u)", "%1_%2"):gsub("^IAm$", "I_Am"):lower()
    type_fields[number] = ProtoField.none("qnet." .. snake, name)
end

local fields = {}
for _, field in pairs(f) do
    fields[#fields + 1] = field
end
for _, field in pairs(type_fields) do
    fields[#fields + 1] = field
end
qnet.fields = fields

local malformed = ProtoExpert.new("qnet.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR)
local unknown_type =
    ProtoExpert.new("qnet.unknown_record", "Unknown record type", expert.group.UNDECODED, expert.severity.WARN)
local not_zero =
    ProtoExpert.new("qnet.reserved_not_zero", "Reserved field not zero", expert.group.PROTOCOL, expert.severity.ERROR)
local bad_value =
    ProtoExpert.new("qnet.bad_value", "Value out of bounds", expert.group.PROTOCOL, expert.severity.ERROR)
local misplaced = ProtoExpert.new(
    "qnet.misplaced", "Record in the wrong kind of frame", expert.group.PROTOCOL, expert.severity.ERROR)
qnet.experts = { malformed, unknown_type, not_zero, bad_value, misplaced }

-- Parts ---------------------------------------------------------------------------------------------------------

-- Adds a reserved field and complains if it is used.
local function reserved(tree, range)
    for index = 0, range:len() - 1 do
        if range(index, 1):uint() ~= 0 then
            tree:add(f.reserved, range):add_proto_expert_info(not_zero)
            return
        end
    end
end

local function demand(tree, is_sound)
    if not is_sound then
        tree:add_proto_expert_info(bad_value)
    end
end

-- A name of 64 bytes: its length, then bytes of which the unused are zero.
local function name(tree, field, range)
    local len = range(0, 1):uint()
    local len_item = tree:add(f.name_len, range(0, 1))
    if len < 1 or len > NAME_LEN - 1 then
        len_item:add_proto_expert_info(bad_value)
        return "?"
    end
    local text = range(1, len):string()
    local item = tree:add(field, range(1, len))
    demand(item, text:find("^[%w_][%w%-_.]*$") ~= nil)
    if len < NAME_LEN - 1 then
        reserved(tree, range(1 + len, NAME_LEN - 1 - len))
    end
    return text
end

local function hello(tree, range)
    local item = tree:add(f.hello, range)
    local epoch = item:add(f.epoch, range(0, 8))
    demand(epoch, range(0, 8):uint64() ~= UInt64(0))
    local window = item:add(f.receive_window, range(8, 4))
    demand(item:add(f.ack_delay_us, range(12, 4)), range(12, 4):uint() <= 1000000)
    local mtu = range(16, 2):uint()
    demand(item:add(f.mtu, range(16, 2)), mtu >= 576)
    demand(window, range(8, 4):uint() >= 2 * mtu)
    local is_group = range(18, 1):uint() % 2 == 1
    local is_zero = range(18, 6):uint64() == UInt64(0)
    demand(item:add(f.station, range(18, 6)), not is_group and not is_zero)
    local text = name(item, f.name, range(24, NAME_LEN))
    item:append_text(": " .. text)
    return text
end

local function connect(tree, range)
    local item = tree:add(f.connect, range)
    item:add(f.server_pid, range(0, 4))
    item:add(f.server_chid, range(4, 4))
    item:add(f.client_pid, range(8, 4))
    item:add(f.coid, range(12, 4))
    item:add(f.uid, range(16, 4))
    item:add(f.gid, range(20, 4))
    item:add(f.srcnd, range(24, 4))
    item:add(f.revision, range(28, 2))
    demand(item:add(f.answers_back, range(30, 1)), range(30, 1):uint() <= 1)
    reserved(item, range(31, 1))
    item:append_text(string.format(
        ": process %d to %d/%d", range(8, 4):int(), range(0, 4):int(), range(4, 4):int()))
end

-- The flags of a record: which of `known` are legal in it.
local function record_flags(tree, range, known)
    local flags = range:uint()
    local item = tree:add(f.record_flags, range)
    if bit.band(known, FLAG_CONNECT) ~= 0 then
        item:add(f.has_connect, range)
    end
    if bit.band(known, FLAG_TO_CLIENT) ~= 0 then
        item:add(f.to_client, range)
    end
    if bit.band(flags, bit.bnot(known)) ~= 0 then
        item:add_proto_expert_info(not_zero)
    end
    return bit.band(flags, FLAG_CONNECT) ~= 0, bit.band(flags, FLAG_TO_CLIENT) ~= 0
end

-- The bytes of a message or reply: what is left of the record. How many there are.
local function payload(tree, body, from)
    local len = body:len() - from
    if len > 0 then
        tree:add(f.bytes, body(from, len))
    end
    tree:add(f.bytes_len, len):set_generated()
    return len
end

-- The path of a connect that the bytes of a message begin with, if all of it is there.
local function io_path(tree, bytes)
    if bytes:len() < IO_CONNECT_LEN or bytes(0, 2):le_uint() ~= IO_CONNECT then
        return ""
    end
    local len = bytes(24, 4):le_uint()
    if len < 1 or len > bytes:len() - IO_CONNECT_LEN then
        return ""
    end
    tree:add(f.io_path, bytes(IO_CONNECT_LEN, len))
    return ", path " .. bytes(IO_CONNECT_LEN, len):string()
end

-- Records -------------------------------------------------------------------------------------------------------
-- Each takes its tree and its body, whose length was checked against `min` and `max`, and answers what the
-- packet list shows of it.

local function message(tree, body)
    tree:add(f.call, body(0, 8))
    tree:add(f.conn, body(8, 8))
    local len_item = tree:add(f.message_len, body(16, 4))
    demand(tree:add(f.reply_len, body(20, 4)), body(20, 4):uint() <= MESSAGE_LEN_MAX)
    tree:add(f.tid, body(24, 4))
    tree:add(f.priority, body(28, 1))
    local flags = body(29, 1)
    local item = tree:add(f.record_flags, flags)
    item:add(f.has_connect, flags)
    item:add(f.reports, flags)
    item:add(f.has_pulses, flags)
    local function has(flag)
        return bit.band(flags:uint(), flag) ~= 0
    end
    if has(bit.bnot(FLAG_CONNECT + FLAG_REPORT + FLAG_PULSES)) then
        item:add_proto_expert_info(not_zero)
    end
    local has_connect = has(FLAG_CONNECT)
    reserved(tree, body(30, 2))
    local from = 32
    if has_connect then
        if body:len() < from + CONNECT_LEN then
            tree:add_proto_expert_info(malformed)
            return ""
        end
        connect(tree, body(from, CONNECT_LEN))
        from = from + CONNECT_LEN
    end
    if has(FLAG_PULSES) then
        if body:len() < from + 8 then
            tree:add_proto_expert_info(malformed)
            return ""
        end
        demand(tree:add(f.pulses_before, body(from, 8)), body(from, 8):uint64() ~= UInt64(0))
        from = from + 8
    end
    local count = payload(tree, body, from)
    local len = body(16, 4):uint()
    demand(len_item, len <= MESSAGE_LEN_MAX and count <= len)
    local path = count > 0 and io_path(tree, body(from, count)) or ""
    return string.format("call %s, %d of %d bytes%s", body(0, 8):uint64(), count, len, path)
end

local function messages(tree, body)
    tree:add(f.call, body(0, 8))
    tree:add(f.conn, body(8, 8))
    local len_item = tree:add(f.message_len, body(16, 4))
    demand(tree:add(f.reply_len, body(20, 4)), body(20, 4):uint() <= MESSAGE_LEN_MAX)
    tree:add(f.tid, body(24, 4))
    tree:add(f.priority, body(28, 1))
    reserved(tree, body(29, 1))
    reserved(tree, body(30, 2))
    local len, all = body(16, 4):uint(), payload(tree, body, 32)
    local is_whole = len > 0 and all > 0 and all % len == 0
    demand(len_item, is_whole)
    if not is_whole then
        return ""
    end
    return string.format("call %s and %d more, %d bytes each", body(0, 8):uint64(), all / len - 1, len)
end

local function received(tree, body)
    tree:add(f.call, body(0, 8))
    return string.format("call %s", body(0, 8):uint64())
end

local function fragment(tree, body)
    tree:add(f.call, body(0, 8))
    local offset = tree:add(f.offset, body(8, 4))
    local count = payload(tree, body, 12)
    demand(offset, body(8, 4):uint() + count <= MESSAGE_LEN_MAX)
    return string.format("call %s, %d bytes at %d", body(0, 8):uint64(), count, body(8, 4):uint())
end

local function reply(tree, body)
    tree:add(f.call, body(0, 8))
    local status = tostring(body(8, 8):int64())
    local status_item = tree:add(f.status, body(8, 8))
    if STATUSES[status] then
        status = STATUSES[status]
        status_item:append_text(" (" .. status .. ")")
    end
    local len = tree:add(f.reply_end, body(16, 4))
    local sent_len = tree:add(f.sent_len, body(20, 4))
    local offset = tree:add(f.offset, body(24, 4))
    local count = payload(tree, body, 28)
    demand(len, body(16, 4):uint() <= MESSAGE_LEN_MAX)
    demand(sent_len, body(20, 4):uint() <= body(16, 4):uint() and count <= body(20, 4):uint())
    demand(offset, body(24, 4):uint() + count <= body(16, 4):uint())
    return string.format(
        "call %s, status %s, %d of %d bytes", body(0, 8):uint64(), status, count, body(20, 4):uint())
end

local function errno_text(number)
    return ERRNOS[number] or tostring(number)
end

local function error_record(tree, body)
    tree:add(f.call, body(0, 8))
    tree:add(f.errno, body(8, 2))
    reserved(tree, body(10, 2))
    return string.format("call %s, %s", body(0, 8):uint64(), errno_text(body(8, 2):uint()))
end

local function replies(tree, body)
    tree:add(f.call, body(0, 8))
    local count = body(8, 4):uint()
    demand(tree:add(f.reply_count, body(8, 4)), count >= 1 and count <= REPLIES_MAX)
    return string.format("call %s and %d more", body(0, 8):uint64(), count - 1)
end

local function pulse(tree, body)
    tree:add(f.conn, body(0, 8))
    tree:add(f.sequence, body(8, 8))
    tree:add(f.value, body(16, 8))
    tree:add(f.code, body(24, 1))
    tree:add(f.priority, body(25, 1))
    local has_connect, to_client = record_flags(tree, body(26, 1), FLAG_CONNECT + FLAG_TO_CLIENT)
    reserved(tree, body(27, 1))
    local wanted = 28 + (has_connect and CONNECT_LEN or 0)
    if body:len() ~= wanted then
        tree:add_proto_expert_info(malformed)
    elseif has_connect then
        demand(tree, not to_client)
        connect(tree, body(28, CONNECT_LEN))
    end
    local code = body(24, 1):int()
    return string.format("connection %s, code %s", body(0, 8):uint64(), PULSE_CODES[code] or code)
end

local function cancel(tree, body)
    tree:add(f.call, body(0, 8))
    local kind = body(8, 1):uint()
    local item = tree:add(f.cancel_kind, body(8, 1))
    reserved(tree, body(9, 1))
    tree:add(f.errno, body(10, 2))
    demand(item, CANCEL_KINDS[kind] ~= nil and (kind ~= 3 or body(10, 2):uint() == 0))
    return string.format("call %s, %s", body(0, 8):uint64(), CANCEL_KINDS[kind] or "?")
end

local function detach(tree, body)
    tree:add(f.conn, body(0, 8))
    tree:add(f.errno, body(8, 2))
    record_flags(tree, body(10, 1), FLAG_TO_CLIENT)
    reserved(tree, body(11, 1))
    return string.format("connection %s, %s", body(0, 8):uint64(), errno_text(body(8, 2):uint()))
end

local function grant(tree, body)
    tree:add(f.call, body(0, 8))
    demand(tree:add(f.limit, body(8, 4)), body(8, 4):uint() <= MESSAGE_LEN_MAX)
    return string.format("call %s, up to %d", body(0, 8):uint64(), body(8, 4):uint())
end

local function ack_ranges(tree, body)
    if body:len() % 8 ~= 0 then
        tree:add_proto_expert_info(malformed)
        return ""
    end
    for at = 0, body:len() - 8, 8 do
        local item = tree:add(f.range, body(at, 8))
        local gap, run = body(at, 4):uint(), body(at + 4, 4):uint()
        item:add(f.gap, body(at, 4))
        item:add(f.run, body(at + 4, 4))
        item:append_text(string.format(": %d missing, %d received", gap, run))
        demand(item, gap > 0 and run > 0)
    end
    return string.format("%d gaps", body:len() / 8)
end

local function nothing()
    return ""
end

local function pad(tree, body)
    if body:len() > 0 then
        tree:add(f.padding, body)
    end
    return string.format("%d bytes", body:len())
end

local function who_is(tree, body)
    local asker = hello(tree, body(0, HELLO_LEN))
    return asker .. " asks for " .. name(tree, f.wanted, body(HELLO_LEN, NAME_LEN))
end

local function handshake(tree, body)
    local who = hello(tree, body(0, HELLO_LEN))
    demand(tree:add(f.initiator_nonce, body(88, 4)), body(88, 4):uint() ~= 0)
    tree:add(f.responder_nonce, body(92, 4))
    tree:add(f.other_epoch, body(96, 8))
    tree:add(f.stamp, body(104, 8))
    tree:add(f.cookie, body(112, 16))
    return who
end

local function reset(tree, body)
    tree:add(f.reset_session, body(0, 8))
    tree:add(f.epoch, body(8, 8))
    local reason = RESET_REASONS[body(16, 1):uint()]
    demand(tree:add(f.reason, body(16, 1)), reason ~= nil)
    reserved(tree, body(17, 7))
    return reason or "?"
end

-- What each record is: bytes of its body at least and at most, its decoder, and whether it belongs in sessions.
local ANY = 65535
local RECORDS = {
    [1] = { min = 32, max = ANY, decode = message, in_session = true },
    [2] = { min = 13, max = ANY, decode = fragment, in_session = true },
    [3] = { min = 28, max = ANY, decode = reply, in_session = true },
    [4] = { min = 13, max = ANY, decode = fragment, in_session = true },
    [5] = { min = 12, max = 12, decode = error_record, in_session = true },
    [6] = { min = 28, max = 28 + CONNECT_LEN, decode = pulse, in_session = true },
    [7] = { min = 12, max = 12, decode = cancel, in_session = true },
    [8] = { min = 12, max = 12, decode = detach, in_session = true },
    [9] = { min = 12, max = 12, decode = grant, in_session = true },
    [10] = { min = 8, max = 8 * 32, decode = ack_ranges, in_session = true },
    [11] = { min = 0, max = 0, decode = nothing, in_session = true },
    [12] = { min = 0, max = ANY, decode = pad, in_session = true },
    [13] = { min = 12, max = 12, decode = replies, in_session = true },
    [14] = { min = 33, max = ANY, decode = messages, in_session = true },
    [15] = { min = 8, max = 8, decode = received, in_session = true },
    [16] = { min = HELLO_LEN, max = HELLO_LEN, decode = hello, in_session = false },
    [17] = { min = HELLO_LEN + NAME_LEN, max = HELLO_LEN + NAME_LEN, decode = who_is, in_session = false },
    [18] = { min = HELLO_LEN, max = HELLO_LEN, decode = hello, in_session = false },
    [19] = { min = HELLO_LEN, max = HELLO_LEN, decode = hello, in_session = false },
    [20] = { min = HANDSHAKE_LEN, max = HANDSHAKE_LEN, decode = handshake, in_session = false },
    [21] = { min = HANDSHAKE_LEN, max = HANDSHAKE_LEN, decode = handshake, in_session = false },
    [22] = { min = HANDSHAKE_LEN, max = HANDSHAKE_LEN, decode = handshake, in_session = true },
    [23] = { min = 0, max = 0, decode = nothing, in_session = true },
    [24] = { min = 24, max = 24, decode = reset, in_session = false },
}

-- Decodes the record that begins at `at`; where the next one begins, or nothing if that cannot be told.
local function record(tree, range, at, in_session, told)
    local rest = range:len() - at
    if rest < RECORD_HEADER_LEN or range(at + 2, 2):uint() > rest - RECORD_HEADER_LEN then
        tree:add(f.record, range(at, rest)):add_proto_expert_info(malformed)
        told[#told + 1] = "malformed"
        return nil
    end
    local kind, len = range(at, 1):uint(), range(at + 2, 2):uint()
    local known, label = RECORDS[kind], RECORD_NAMES[kind] or string.format("unknown type %d", kind)
    local item = tree:add(f.record, range(at, RECORD_HEADER_LEN + len))
    item:set_text(label)
    item:add(f.record_type, range(at, 1))
    local reserved_item = item:add(f.record_reserved, range(at + 1, 1))
    if range(at + 1, 1):uint() ~= 0 then
        reserved_item:add_proto_expert_info(not_zero)
    end
    item:add(f.record_len, range(at + 2, 2))
    if not known then
        item:add_proto_expert_info(unknown_type)
        told[#told + 1] = label
        return at + RECORD_HEADER_LEN + len
    end
    item:add(type_fields[kind], range(at, RECORD_HEADER_LEN + len)):set_hidden()
    if known.in_session ~= in_session then
        item:add_proto_expert_info(misplaced)
    end
    if len < known.min or len > known.max then
        item:add_proto_expert_info(malformed)
        told[#told + 1] = label .. " (malformed)"
        return nil
    end
    local body = len > 0 and range(at + RECORD_HEADER_LEN, len) or nil
    local text = (body or known.min == 0) and known.decode(item, body or range(at, 0)) or ""
    if text ~= "" then
        item:append_text(": " .. text)
        label = label .. " (" .. text .. ")"
    end
    told[#told + 1] = label
    return at + RECORD_HEADER_LEN + len
end

-- Frames --------------------------------------------------------------------------------------------------------

local function header(tree, range)
    demand(tree:add(f.version, range(0, 1)), range(0, 1):uint() == VERSION)
    local flags = range(1, 1):uint()
    local flags_item = tree:add(f.flags, range(1, 1))
    flags_item:add(f.responder, range(1, 1))
    flags_item:add(f.sealed, range(1, 1))
    if bit.band(flags, bit.bnot(FLAG_RESPONDER + FLAG_SEALED)) ~= 0 then
        flags_item:add_proto_expert_info(not_zero)
    end
    tree:add(f.len, range(2, 2))
    demand(tree:add(f.path, range(4, 1)), range(4, 1):uint() < PATHS_MAX)
    local nothing = UInt64(0)
    local is_outside = range(12, 8):uint64() == nothing
    local packet_item = tree:add(f.packet, range(5, 7), range(5, 7):uint64())
    demand(packet_item, range(5, 7):uint64() < UInt64(0xffffffff, 0xffffff))
    demand(packet_item, not is_outside or range(4, 8):uint64() == nothing)
    tree:add(f.session, range(12, 8))
    local ack, run = range(21, 7):uint64(), range(28, 2):uint()
    local ack_path = range(20, 1):uint()
    demand(tree:add(f.ack_path, range(20, 1)), ack_path < PATHS_MAX and (ack_path == 0 or ack ~= nothing))
    demand(tree:add(f.ack, range(21, 7), ack), not is_outside or ack == nothing)
    demand(flags_item, not is_outside or bit.band(flags, FLAG_RESPONDER) == 0)
    local run_item = tree:add(f.ack_run, range(28, 2))
    demand(run_item, (run == 0) == (ack == nothing) and UInt64(run) <= ack)
    tree:add(f.ack_delay, range(30, 2))
end

function qnet.dissector(buffer, info, root)
    info.cols.protocol = "Qnet"
    local there = buffer:len()
    local tree = root:add(qnet, buffer())
    if there < HEADER_LEN then
        tree:add_proto_expert_info(malformed, "Shorter than the header")
        return there
    end
    header(tree, buffer(0, HEADER_LEN))
    local len = buffer(2, 2):uint()
    local tag_len = bit.band(buffer(1, 1):uint(), FLAG_SEALED) ~= 0 and TAG_LEN or 0
    if len < HEADER_LEN + tag_len or len > there then
        tree:add_proto_expert_info(malformed, "The length is not true")
        return there
    end
    tree:set_len(len)
    local in_session = buffer(12, 8):uint64() ~= UInt64(0)
    local told, at, records_end = {}, HEADER_LEN, len - tag_len
    while at and at < records_end do
        at = record(tree, buffer(0, records_end), at, in_session, told)
    end
    if tag_len > 0 then
        tree:add(f.tag, buffer(records_end, tag_len))
    end
    local shown = #told > 0 and table.concat(told, ", ") or "acknowledgement"
    info.cols.info = in_session
        and string.format("%d:%s %s", buffer(4, 1):uint(), buffer(5, 7):uint64(), shown)
        or shown
    return len
end

-- Registration --------------------------------------------------------------------------------------------------

local ethertypes = DissectorTable.get("ethertype")
local registered = qnet.prefs.ethertype
ethertypes:add(registered, qnet)

function qnet.prefs_changed()
    if qnet.prefs.ethertype ~= registered then
        ethertypes:remove(registered, qnet)
        registered = qnet.prefs.ethertype
        ethertypes:add(registered, qnet)
    end
end
