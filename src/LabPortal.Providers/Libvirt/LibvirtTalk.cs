using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// A line on a child's standard input. The call stands in it under the name of its type, because a polymorphic one would make each child
/// prepare for all kinds of call, half of its start, before it reads the first.
/// </summary>
internal sealed record LibvirtRequest(LibvirtHostSettings Host, string Kind, JsonElement Call)
{
    public static LibvirtRequest Of(LibvirtHostSettings host, LibvirtCall call) =>
        new(host, call.GetType().Name, JsonSerializer.SerializeToElement(call, LibvirtJson.Default.GetTypeInfo(call.GetType())!));

    public LibvirtCall Read() => (LibvirtCall)Call.Deserialize(LibvirtJson.Default.GetTypeInfo(typeof(LibvirtCall).Assembly.GetType($"{typeof(LibvirtCall).Namespace}.{Kind}", throwOnError: true)!)!)!;
}

/// <summary>A line on its standard output: progress, as often as there is some, and then either a fault or a result.</summary>
internal sealed record LibvirtReply(long? Progress = null, JsonElement? Result = null, FaultKind? Fault = null, string? Message = null);

/// <summary>What a child can be asked: data on this side, done over there by <see cref="Answer"/>.</summary>
internal abstract record LibvirtCall
{
    /// <summary>What is being done, after "could not": <c>list its machines</c>.</summary>
    [JsonIgnore]
    public abstract string Doing { get; }

    /// <summary>How long the child may say nothing, where a host has <paramref name="deadline"/> for a call.</summary>
    public virtual TimeSpan Patience(TimeSpan deadline) => deadline;

    public abstract JsonElement Answer(LibvirtWire wire);
}

internal abstract record LibvirtCall<T> : LibvirtCall
{
    public sealed override JsonElement Answer(LibvirtWire wire) => JsonSerializer.SerializeToElement(Do(wire), LibvirtJson.Of<T>());

    protected abstract T Do(LibvirtWire wire);
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, UseStringEnumConverter = true)]
[JsonSerializable(typeof(LibvirtRequest))]
[JsonSerializable(typeof(LibvirtReply))]
[JsonSerializable(typeof(LineRequest))]
[JsonSerializable(typeof(CheckHost))]
[JsonSerializable(typeof(MeasureHost))]
[JsonSerializable(typeof(OffersKvm))]
[JsonSerializable(typeof(BootProbe))]
[JsonSerializable(typeof(LookAtMachines))]
[JsonSerializable(typeof(ListNames))]
[JsonSerializable(typeof(FindMachine))]
[JsonSerializable(typeof(MakeMachine))]
[JsonSerializable(typeof(RemoveMachine))]
[JsonSerializable(typeof(MakeNetworks))]
[JsonSerializable(typeof(RemoveNetworks))]
[JsonSerializable(typeof(ChangePower))]
[JsonSerializable(typeof(TakeSnapshot))]
[JsonSerializable(typeof(ListSnapshots))]
[JsonSerializable(typeof(RevertMachine))]
[JsonSerializable(typeof(DeleteSnapshot))]
[JsonSerializable(typeof(ReadDisk))]
[JsonSerializable(typeof(KeepWarmStates))]
[JsonSerializable(typeof(MakeWarmState))]
[JsonSerializable(typeof(ReadStart))]
[JsonSerializable(typeof(ReadLog))]
[JsonSerializable(typeof(FindImage))]
[JsonSerializable(typeof(ReadDigest))]
[JsonSerializable(typeof(ImportImage))]
[JsonSerializable(typeof(bool))]
[JsonSerializable(typeof(string))]
[JsonSerializable(typeof(long?))]
[JsonSerializable(typeof(List<int>))]
[JsonSerializable(typeof(MachineStart))]
[JsonSerializable(typeof(byte[]))]
[JsonSerializable(typeof(TimeSpan?))]
[JsonSerializable(typeof(List<PoolProblem>))]
[JsonSerializable(typeof(HostSize))]
[JsonSerializable(typeof(HostView))]
[JsonSerializable(typeof(HostNames))]
[JsonSerializable(typeof(List<SnapshotView>))]
[JsonSerializable(typeof(Reverting))]
[JsonSerializable(typeof(ImageOnHost))]
internal sealed partial class LibvirtJson : JsonSerializerContext
{
    public static JsonTypeInfo<T> Of<T>() => (JsonTypeInfo<T>)(Default.GetTypeInfo(typeof(T)) ?? throw new NotSupportedException($"{typeof(T)} is no result of a call."));
}
