using System.Net;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Networks;
using NodaTime;

namespace LabPortal.Domain.Pools;

/// <summary>
/// One pool's way to its provider. Every call is safe to repeat, ends within the deadline of its token
/// (<see cref="OperationCanceledException"/>), and reports a broken world as <see cref="ProviderFault"/>.
/// What a pool can do beyond these verbs it shows by implementing one of the ability interfaces
/// (<see cref="IPowerAbility"/>, <see cref="ISnapshotAbility"/>, <see cref="ICapacityAbility"/>, <see cref="IImagesAbility"/>, <see cref="IImportAbility"/>, <see cref="ISerialLogAbility"/>,
/// <see cref="ISerialConsoleAbility"/>, <see cref="INetworkAbility"/>, <see cref="IWarmStartAbility"/>, <see cref="IScreenAbility"/>).
/// </summary>
public interface IProvider : IAsyncDisposable
{
    /// <summary>
    /// How long after a change the provider's own reads may still show the world before it. <i>Absent</i> means
    /// absent in two reads at least this far apart.
    /// </summary>
    Duration SettlingTime { get; }

    /// <summary>Is the pool usable? Every problem at once, each with the way to mend it. Never throws for a sick pool.</summary>
    Task<PoolCheck> CheckAsync(CancellationToken cancellation);

    /// <summary>
    /// The state of many machines (or lab-scope resources) at once, one answer for each reference, in any order.
    /// What cannot be read is <see cref="Observation.Unknown"/>, never <see cref="Observation.Absent"/>; a pool that does not answer
    /// at all may throw a <see cref="ProviderFault"/> instead.
    /// </summary>
    Task<IReadOnlyList<Observation>> ObserveAsync(IReadOnlyList<ResourceRef> references, CancellationToken cancellation);

    /// <summary>
    /// Makes the machine with all that belongs to it (disk, seed, card, log), or adopts what an earlier, cut-off call left.
    /// Returns once the provider has taken the order; building may go on, as <see cref="ObserveAsync"/> shows.
    /// A repeated call changes nothing. The machine may come into being running or stopped: the caller looks.
    /// </summary>
    Task EnsureExistsAsync(MachineSpec machine, CancellationToken cancellation);

    /// <summary>
    /// Removes the machine or lab-scope resource, and everything that was made with it, whatever state it is in and whatever
    /// a cut-off create left of it. A repeated call, or one for what never was, is fine.
    /// Returns once the provider has taken the order; <see cref="ObserveAsync"/> shows when it is gone.
    /// </summary>
    Task EnsureGoneAsync(ResourceRef reference, CancellationToken cancellation);

    /// <summary>
    /// Every resource of every kind that carries our installation id, and nothing else. Complete, or a
    /// <see cref="ProviderFault"/>: a listing that failed on one host is never returned as if that host were empty.
    /// </summary>
    Task<IReadOnlyList<OwnedResource>> ListOwnedAsync(CancellationToken cancellation);
}

/// <summary>Start, stop and restart. Each returns once the order is taken and does nothing where the state is already right.</summary>
public interface IPowerAbility
{
    Task StartAsync(ResourceRef machine, CancellationToken cancellation);

    /// <summary>
    /// <see cref="StopMode.Graceful"/> asks the guest and returns (whether it obeys shows in the observation);
    /// <see cref="StopMode.Hard"/> takes the power away.
    /// </summary>
    Task StopAsync(ResourceRef machine, StopMode mode, CancellationToken cancellation);

    /// <summary>Power cycle of a running machine; its disks stay.</summary>
    Task RestartAsync(ResourceRef machine, CancellationToken cancellation);
}

public enum StopMode
{
    Graceful,
    Hard,
}

/// <summary>
/// Snapshots of one machine: its disks, and of a running machine its memory too where the provider keeps that (<see cref="MachineSnapshot.WithMemory"/>). They are resources of the kind <see cref="ResourceKind.Snapshot"/>, named
/// <see cref="Owner.SnapshotName"/>, that belong to the machine: <see cref="IProvider.ListOwnedAsync"/> gives them, and <see cref="IProvider.EnsureGoneAsync"/> of
/// the machine takes them along. Every call is safe to repeat; one that was cut off may still take effect later. A machine that is not there is
/// <see cref="FaultKind.Rejected"/>, but for deleting.
/// </summary>
public interface ISnapshotAbility
{
    /// <summary>
    /// Returns once the snapshot is whole; a running guest stands still meanwhile and runs on afterwards, a stopped one stays stopped. Where there is one of
    /// that name already, that one stays as it is. A take that failed or was cancelled may have left a snapshot: it is taken again, or deleted. A host that has no
    /// room for it is <see cref="FaultKind.NoCapacity"/>, and the machine goes on.
    /// </summary>
    Task TakeSnapshotAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation);

    /// <summary>The machine's snapshots in this generation, in any order. May lag behind by <see cref="IProvider.SettlingTime"/>.</summary>
    Task<IReadOnlyList<MachineSnapshot>> ListSnapshotsAsync(ResourceRef machine, CancellationToken cancellation);

    /// <summary>
    /// Returns once the machine is as it was: its disks as they were, running (with its memory where that was kept, booted anew where not) or stopped as it was. What was written since is lost; other
    /// snapshots stay. Reverting again leads to the same. A snapshot that is not there is <see cref="FaultKind.Rejected"/>, and then nothing was changed; after
    /// any other fault, or when cancelled, the machine may be in between and is to be reverted again: the snapshot itself is never harmed.
    /// </summary>
    Task RevertAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation);

    /// <summary>Returns once it is gone; the machine stays as it is. Deleting twice, or the unknown, is fine, also where the machine itself is gone.</summary>
    Task DeleteSnapshotAsync(ResourceRef machine, SnapshotId snapshot, CancellationToken cancellation);

    /// <summary>
    /// The bytes of its host's disk that the machine's own disk takes now: what was written on it since it was made of its image, and all that its snapshots keep, of
    /// disk and memory. Which of them keeps how much is not said: what two of them share goes with neither. Empty where nobody knows.
    /// </summary>
    Task<long?> ReadDiskBytesAsync(ResourceRef machine, CancellationToken cancellation);
}

/// <summary>
/// One machine's part of a snapshot. <paramref name="WithMemory"/>: its memory was kept too. <paramref name="Bytes"/> is what it took when it was taken, only where
/// the provider knows it.
/// </summary>
public sealed record MachineSnapshot(SnapshotId Snapshot, string ExternalId, Instant TakenAt, bool WithMemory, long? Bytes)
{
    /// <summary>It ran when it was taken, and runs when it is reverted to: from there on where the memory was kept, from a boot where only the disks were.</summary>
    public bool Runs { get; init; } = WithMemory;

    public string ExternalId { get; init; } = ForeignText.Of(ExternalId);
}

/// <summary>
/// Networks of a lab's own: machines on one of them reach each other and nothing else; no host has an address there, and nothing hands out any, so that
/// every lab may use the same. They are lab-scope resources: their names are <see cref="Owner.NetworkName"/>, <see cref="IProvider.ListOwnedAsync"/> gives
/// them, and <see cref="IProvider.EnsureGoneAsync"/> with the lab's owner removes all of them. A machine's cards are in its <see cref="MachineSpec.Cards"/>.
/// </summary>
public interface INetworkAbility
{
    /// <summary>
    /// Makes these networks on one host, or adopts what a cut-off call left. Returns once machines may be joined to them. A repeated call changes nothing.
    /// They stay when the host is started anew.
    /// </summary>
    Task EnsureNetworksAsync(LabNetworks networks, CancellationToken cancellation);
}

/// <summary>The networks of one lab on one host. <paramref name="Title"/> is free text for people.</summary>
public sealed record LabNetworks(Owner Owner, string? Host, string Title, IReadOnlyList<string> Names)
{
    public ResourceRef Reference => new(Owner, Host);
}

/// <summary>How much each host of the pool has. A host that does not answer is listed with <see cref="HostCapacity.Problem"/>, never left out.</summary>
public interface ICapacityAbility
{
    Task<IReadOnlyList<HostCapacity>> ReadCapacityAsync(CancellationToken cancellation);
}

/// <summary>
/// What one host has: physical amounts, before over-commit. <paramref name="DiskFreeGiB"/> is what is free now; the others are totals.
/// <paramref name="Acceleration"/> says how guests run there (<c>kvm</c>, <c>emulated</c>), empty where the question makes no sense.
/// <paramref name="Problem"/> is one sentence where the host takes no machines now.
/// </summary>
public sealed record HostCapacity(string Host, int Cpu, long MemoryMiB, long DiskGiB, long DiskFreeGiB, string? Acceleration, string? Problem)
{
    public string? Acceleration { get; init; } = ForeignText.OrNone(Acceleration);
    public string? Problem { get; init; } = ForeignText.OrNone(Problem);
}

/// <summary>Which images the pool has.</summary>
public interface IImagesAbility
{
    /// <summary>Is the image of this binding on each host of the pool? One answer for each host; one with an empty host where the pool is a single place.</summary>
    Task<IReadOnlyList<ImagePresence>> FindAsync(ImageBinding image, CancellationToken cancellation);
}

/// <summary>Images that the portal itself can bring to a pool's hosts.</summary>
public interface IImportAbility : IImagesAbility
{
    /// <summary>
    /// Copies an image file to one host under the name that the binding gives it. Progress is in bytes.
    /// A cut-off import leaves nothing under that name, nor does one of a file with another digest than the binding says
    /// (<see cref="FaultKind.Rejected"/>). What another file has left there under that name stays, and is <see cref="FaultKind.Rejected"/>. The format is explicit (<c>qcow2</c> or <c>raw</c>); a file with a
    /// backing or data file is refused as <see cref="FaultKind.Rejected"/>.
    /// </summary>
    Task ImportAsync(ImageBinding image, string host, string file, IProgress<long> progress, CancellationToken cancellation);

    /// <summary>
    /// Reads the whole of an image that is on this host, so that <see cref="FindAsync"/> knows its digest from then on, as long as it stays
    /// as it is. Progress is in bytes. Where the digest is known already it does nothing; an image that is not there is <see cref="FaultKind.Rejected"/>,
    /// one that changes meanwhile <see cref="FaultKind.Transient"/>.
    /// </summary>
    Task ReadDigestAsync(ImageBinding image, string host, IProgress<long> progress, CancellationToken cancellation);
}

/// <summary>
/// Is an image on a host? <paramref name="Digest"/> (<c>sha256:…</c> of its file) is empty where nobody has read it yet. <paramref name="Mend"/> is the command or deed that brings it there, where it is not.
/// </summary>
public sealed record ImagePresence(string Host, bool Present, string? Digest, long Bytes, string? Mend)
{
    public string? Mend { get; init; } = ForeignText.OrNone(Mend);
}

/// <summary>What one machine printed on its serial port, for people to read: hostile text, never interpreted.</summary>
public interface ISerialLogAbility
{
    /// <summary>The last <paramref name="maxBytes"/> bytes at the most; empty where nothing was printed yet.</summary>
    Task<byte[]> ReadSerialLogAsync(ResourceRef machine, int maxBytes, CancellationToken cancellation);
}

/// <summary>A running machine's serial port as a line: what is typed goes in, what is printed from then on comes out.</summary>
public interface ISerialConsoleAbility
{
    /// <summary>
    /// Opens the line; whoever gets it disposes it. It ends (a read gives nothing) when the machine stops, or when another takes the port over.
    /// Empty where somebody else holds the port, unless <paramref name="takeOver"/>, which ends the other's line. A machine that is not there or
    /// does not run is <see cref="FaultKind.Rejected"/>.
    /// </summary>
    Task<Stream?> OpenSerialConsoleAsync(ResourceRef machine, bool takeOver, CancellationToken cancellation);
}

/// <summary>A running machine's screen, keyboard and mouse over RFB 3.8 (RFC 6143) without a password: who may is decided before.</summary>
public interface IScreenAbility
{
    /// <summary>Is there a way to this machine's screen at all? Of a pool's hosts some may have none. Asks nobody.</summary>
    bool HasScreen(ResourceRef machine);

    /// <summary>
    /// Opens a line, on which the machine's end speaks first; whoever gets it disposes it. Several may be open at once. It ends (a read gives
    /// nothing) when the machine stops. A machine that is not there, does not run or has no screen is <see cref="FaultKind.Rejected"/>.
    /// </summary>
    Task<Stream> OpenScreenAsync(ResourceRef machine, CancellationToken cancellation);
}

/// <summary>
/// A machine (or a lab-scope resource, where <see cref="Owner.Machine"/> is empty) that we made or may have made.
/// <paramref name="Host"/> is where placement put it; empty lets the provider look on every host.
/// </summary>
public sealed record ResourceRef(Owner Owner, string? Host = null);

/// <summary>What a look at one reference showed.</summary>
public abstract record Observation(ResourceRef Reference)
{
    /// <summary>It is there. <paramref name="Problem"/> is the provider's own sentence where it is there but failed.</summary>
    public sealed record Present(
        ResourceRef Reference,
        PowerState Power,
        string ExternalId,
        string? Host,
        IReadOnlyList<IPAddress> Addresses,
        string? Problem = null) : Observation(Reference)
    {
        public string ExternalId { get; init; } = ForeignText.Of(ExternalId);
        public IReadOnlyList<IPAddress> Addresses { get; init; } = GuestAddress.Of(Addresses);
        public string? Problem { get; init; } = ForeignText.OrNone(Problem);

        /// <summary>Of what kind the failure is, where the provider tells: one for lack of room is placed elsewhere.</summary>
        public FaultKind Why { get; init; } = FaultKind.Broken;
    }

    /// <summary>The provider answered well and does not have it. One read only: see <see cref="IProvider.SettlingTime"/>.</summary>
    public sealed record Absent(ResourceRef Reference) : Observation(Reference);

    /// <summary>It could not be read; <paramref name="Why"/> is one sentence.</summary>
    public sealed record Unknown(ResourceRef Reference, string Why) : Observation(Reference)
    {
        public string Why { get; init; } = ForeignText.Of(Why);
    }
}

public enum PowerState
{
    /// <summary>The provider is still making it.</summary>
    Building,
    Stopped,
    Running,

    /// <summary>On its way from running to stopped, or to gone.</summary>
    Stopping,

    /// <summary>There, but the provider says that it failed.</summary>
    Failed,
}

public enum ResourceKind
{
    Machine,
    Disk,
    Seed,
    Log,
    Card,
    Network,
    Address,
    Group,
    Snapshot,

    /// <summary>Of the installation as a whole, not of a machine: <see cref="IWarmStartAbility"/>.</summary>
    WarmState,
}

/// <summary>One object at the provider that carries our installation id. <paramref name="Id"/> is the machine's or lab's, as its name or tag says.</summary>
public sealed record OwnedResource(ResourceKind Kind, string ExternalId, string Name, Guid Id, int Generation, string? Host)
{
    public string ExternalId { get; init; } = ForeignText.Of(ExternalId);
    public string Name { get; init; } = ForeignText.Of(Name);
}

/// <summary>What a check found. <see cref="Usable"/> when there is no problem that stops new machines.</summary>
public sealed record PoolCheck(IReadOnlyList<PoolProblem> Problems)
{
    public bool Usable => Problems.All(problem => !problem.Blocks);
}

/// <summary>One thing that is wrong: what, where (a host, or empty), the way to mend it, and whether it stops new machines on that host.</summary>
public sealed record PoolProblem(string What, string? Host, string Mend, bool Blocks = true)
{
    public string What { get; init; } = ForeignText.Of(What);
    public string Mend { get; init; } = ForeignText.Of(Mend);
}

/// <summary>
/// The machine that we want. The same spec gives the same request to the provider, whatever was made before.
/// <paramref name="HostName"/> is an RFC 1123 label; <paramref name="Title"/> is free text for people (lab and machine name).
/// </summary>
public sealed record MachineSpec(
    Owner Owner,
    string? Host,
    string HostName,
    string Title,
    ImageBinding Image,
    int Cpu,
    int MemoryMiB,
    int DiskGiB,
    GuestSeed Seed)
{
    public ResourceRef Reference => new(Owner, Host);

    public IReadOnlyList<CardSpec> Cards { get; init; } = [CardSpec.Shared];

    /// <summary>Start it from a warm state where the pool has one (<see cref="IWarmStartAbility"/>).</summary>
    public bool WarmStart { get; init; }
}

/// <summary>
/// A card of the machine, with the MAC address <see cref="Owner.DerivedMac"/> of its <paramref name="Number"/>: 0 is that on the pool's own network, from which it
/// gets its address; others are on the network of this name (<see cref="Owner.NetworkName"/>) with this address. Where there are <paramref name="Openings"/>,
/// nothing else may be begun through it, and nothing passes under another address than its own.
/// </summary>
public sealed record CardSpec(int Number, string? Network, IPAddress? Address, int PrefixLength, IReadOnlyList<Opening>? Openings)
{
    public static readonly CardSpec Shared = new(0, null, null, 0, null);
}

/// <summary>What a pool calls an image: the provider's own keys (<c>volume</c>, <c>ami</c>, <c>vhdx</c>), from the catalogue.</summary>
public sealed record ImageBinding(string Image, string Version, IReadOnlyDictionary<string, string> Settings)
{
    /// <summary>The key under which a binding may say which file it means: <c>sha256:</c> and 64 hexadecimal digits.</summary>
    public const string DigestKey = "digest";

    /// <summary>The digest that the image's file has to have, where the catalogue says one.</summary>
    public string? Digest => Settings.GetValueOrDefault(DigestKey);

    public string Require(string key) => Settings.TryGetValue(key, out var value)
        ? value
        : throw new ProviderFault(FaultKind.Rejected, $"Image \"{Image}\" has no \"{key}\" in its binding for this kind of pool.");
}

/// <summary>
/// What the guest is told at its first boot (cloud-init's NoCloud, or what the provider has instead).
/// <paramref name="HostKey"/> is the machine's own, where it is not left to the guest to make one. <paramref name="UserName"/> gets the keys and, where there is none, the password (never logged; hidden from <c>ToString</c>).
/// <paramref name="UserData"/> is structured data (maps, lists, strings, numbers, booleans) that the provider writes out as cloud-config.
/// </summary>
public sealed record GuestSeed(
    string UserName,
    IReadOnlyList<string> AuthorizedKeys,
    Secret? Password,
    IReadOnlyDictionary<string, object> UserData,
    HostKey? HostKey = null);

/// <summary>
/// What a guest proves over SSH that it is the machine: ed25519, the private half as OpenSSH writes it into a file, the public one as it writes it into a line
/// (<c>ssh-ed25519 AAAA…</c>).
/// </summary>
public sealed record HostKey(Secret Private, string Public);

/// <summary>Text that must not be shown: <c>ToString</c> gives three stars, so that no log, record or exception shows it by accident.</summary>
public sealed class Secret(string value)
{
    /// <summary>The text itself, for the one place that has to send it.</summary>
    public string Reveal() => value;

    public override string ToString() => "***";
}
