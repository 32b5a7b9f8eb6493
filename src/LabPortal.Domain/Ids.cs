using NodaTime;
using NodaTime.Text;

namespace LabPortal.Domain;

/// <summary>
/// Makes ids. UUIDv7 (RFC 9562, 5.7): sortable by the time of making, so that an index grows at its end and a list by id is a list by time.
/// Ids of one process keep their order within a millisecond, by a counter in the first 26 random bits (6.2, method 1); 48 stay random.
/// </summary>
public static class Ids
{
    private static int s_counter;

    public static Guid New(TimeProvider time) => New(time.GetUtcNow());

    /// <summary>For what is made at a moment that the caller already has.</summary>
    public static Guid New(Instant now) => New(now.ToDateTimeOffset());

    private static Guid New(DateTimeOffset now)
    {
        // Never set back, whatever the clock says: it goes round after 67 million ids, which no millisecond sees.
        var count = Interlocked.Increment(ref s_counter);
        Span<byte> bytes = stackalloc byte[16];
        Guid.CreateVersion7(now).TryWriteBytes(bytes, bigEndian: true, out _);
        bytes[6] = (byte)(0x70 | ((count >> 22) & 0x0f));
        bytes[7] = (byte)(count >> 14);
        bytes[8] = (byte)(0x80 | ((count >> 8) & 0x3f));
        bytes[9] = (byte)count;
        return new Guid(bytes, bigEndian: true);
    }

    /// <summary>The one canonical form in which ids are stored, shown and accepted: 36 characters, lower case.</summary>
    public static string Canonical(Guid id) => id.ToString("D");
}

/// <summary>This portal's own id, made once and kept in the database. Everything that we make at a provider carries it.</summary>
public readonly record struct InstallationId(Guid Value)
{
    public override string ToString() => Ids.Canonical(Value);
}

public readonly record struct LabId(Guid Value)
{
    public override string ToString() => Ids.Canonical(Value);
}

public readonly record struct MachineId(Guid Value)
{
    public override string ToString() => Ids.Canonical(Value);
}

public readonly record struct RunId(Guid Value)
{
    public override string ToString() => Ids.Canonical(Value);
}

public readonly record struct SnapshotId(Guid Value)
{
    public override string ToString() => Ids.Canonical(Value);
}

public readonly record struct PersonId(Guid Value)
{
    public override string ToString() => Ids.Canonical(Value);
}

public readonly record struct TeamId(Guid Value)
{
    public override string ToString() => Ids.Canonical(Value);
}

public readonly record struct PoolId(Guid Value)
{
    public override string ToString() => Ids.Canonical(Value);
}

/// <summary>Stored and compared instants are whole microseconds since the Unix epoch: what both databases keep without loss.</summary>
public static class Instants
{
    public static long ToMicroseconds(this Instant instant) => instant.ToUnixTimeTicks() / 10;

    public static Instant FromMicroseconds(long microseconds) => Instant.FromUnixTimeTicks(microseconds * 10);

    /// <summary>The form in which an instant travels as text (arguments, notes): ISO 8601, UTC.</summary>
    public static string Write(Instant instant) => InstantPattern.ExtendedIso.Format(instant);

    public static Instant Read(string text) => InstantPattern.ExtendedIso.Parse(text).GetValueOrThrow();

    public static Instant Now(this TimeProvider time)
    {
        // Cut to what is stored, so that an instant compares equal before and after a round trip.
        var ticks = time.GetUtcNow().UtcTicks - DateTimeOffset.UnixEpoch.UtcTicks;
        return Instant.FromUnixTimeTicks(ticks / 10 * 10);
    }
}
