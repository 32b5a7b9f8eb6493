using System.Buffers.Binary;

namespace LabPortal.Operations.Consoles;

/// <summary>
/// What a viewer's end of RFB says (RFC 6143, 7.5; rfbproto for the extensions), message by message: pictures may be asked for by everybody, keys
/// and pointer go on only for who types, and whatever else there is (clipboard, power, size, sound) not at all. Only encodings whose
/// messages are understood here are negotiated.
/// </summary>
internal sealed class ScreenGate(Func<bool> types, Action did)
{
    private const int Version = 12;
    private const int MostEncodings = 64;
    private static readonly byte[] s_version = "RFB 003.008\n"u8.ToArray();

    // Pictures: raw, copies, RRE, hextile, tight (with its qualities), zlib, ZRLE, JPEG. Then: size, last rectangle, cursors, key codes, fences, updates without being asked.
    private static readonly HashSet<int> s_encodings =
        [0, 1, 2, 5, 6, 7, 16, 21, .. Enumerable.Range(-32, 10), .. Enumerable.Range(-256, 10), -223, -224, -239, -258, -307, -312, -313, 0x574d5664];

    private readonly HashSet<uint> _down = [];
    private byte[] _rest = [];
    private Stage _stage;
    private long _dropped;
    private bool _pressed;

    private enum Stage
    {
        Version,
        Security,
        Init,
        Messages,
    }

    /// <summary>What of these bytes goes on to the machine. <see cref="InvalidDataException"/> where they make no sense.</summary>
    public byte[] Pass(ReadOnlySpan<byte> bytes)
    {
        byte[] all = [.. _rest, .. bytes];
        var passed = new List<byte>(all.Length);
        var at = 0;
        while (at < all.Length && Next(all.AsSpan(at), passed) is var length and > 0) at += length;
        _rest = all[at..];
        return [.. passed];
    }

    /// <summary>How many bytes were understood; 0 where a message is not whole yet.</summary>
    private int Next(Span<byte> rest, List<byte> passed)
    {
        if (_dropped > 0)
        {
            var dropped = (int)Math.Min(_dropped, rest.Length);
            _dropped -= dropped;
            return dropped;
        }

        switch (_stage)
        {
            case Stage.Version:
                return rest.Length < Version ? 0 : Begin(rest[..Version], Stage.Security, rest[..Version].SequenceEqual(s_version), passed);
            case Stage.Security:
                // None: who may come in has been asked before.
                return Begin(rest[..1], Stage.Init, rest[0] == 1, passed);
            case Stage.Init:
                // Shared, whatever they say: nobody puts the others out by it.
                rest[0] = 1;
                return Begin(rest[..1], Stage.Messages, true, passed);
            default:
                if (Length(rest) is not ({ } length and > 0) || rest.Length < length) return 0;
                if (MayPass(rest[..length])) passed.AddRange(rest[0] == 2 ? Known(rest[..length]) : rest[..length]);
                return length;
        }
    }

    private int Begin(ReadOnlySpan<byte> said, Stage next, bool isRight, List<byte> passed)
    {
        if (!isRight) throw Nonsense();
        passed.AddRange(said);
        _stage = next;
        return said.Length;
    }

    private int? Length(ReadOnlySpan<byte> rest)
    {
        switch (rest[0])
        {
            case 0: return 20;
            case 2:
                if (rest.Length < 4) return null;
                var count = BinaryPrimitives.ReadUInt16BigEndian(rest[2..]);
                return count > MostEncodings ? throw Nonsense() : 4 + (4 * count);
            case 3: return 10;
            case 4: return 8;
            case 5: return 6;
            case 6:
                // Text for the guest's clipboard, of any length: it is passed over as it comes.
                if (rest.Length < 8) return null;
                _dropped = Math.Abs((long)BinaryPrimitives.ReadInt32BigEndian(rest[4..]));
                return 8;
            case 150: return 10;
            case 248: return rest.Length < 9 ? null : rest[8] > 64 ? throw Nonsense() : 9 + rest[8];
            case 255: return rest.Length < 2 ? null : rest[1] != 0 ? throw Nonsense() : 12;
            default: throw Nonsense();
        }
    }

    private bool MayPass(ReadOnlySpan<byte> message)
    {
        switch (message[0])
        {
            case 4: return Key(message[1] != 0, BinaryPrimitives.ReadUInt32BigEndian(message[4..]));
            case 255: return Key(BinaryPrimitives.ReadUInt16BigEndian(message[2..]) != 0, BinaryPrimitives.ReadUInt32BigEndian(message[4..]));
            case 5:
                did();
                // A button that was pressed by who typed then is let go of: it must not stay down in the guest.
                if (!types() && !(_pressed && message[1] == 0)) return false;
                _pressed = message[1] != 0;
                return true;
            default: return message[0] != 6;
        }
    }

    private bool Key(bool down, uint key)
    {
        did();
        if (!down) return _down.Remove(key) || types();
        if (!types()) return false;
        _down.Add(key);
        return true;
    }

    private static byte[] Known(ReadOnlySpan<byte> asked)
    {
        var known = new List<byte>();
        for (var at = 4; at < asked.Length; at += 4)
        {
            if (s_encodings.Contains(BinaryPrimitives.ReadInt32BigEndian(asked[at..]))) known.AddRange(asked.Slice(at, 4));
        }

        return [2, 0, (byte)(known.Count / 4 >> 8), (byte)(known.Count / 4), .. known];
    }

    private static InvalidDataException Nonsense() => new("It is no message of RFB that is understood here.");
}
