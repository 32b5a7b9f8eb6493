using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>A line on a child's standard input.</summary>
internal sealed record LibvirtRequest(LibvirtHostSettings Host, LibvirtCall Call);

/// <summary>A line on its standard output: progress, as often as there is some, and then either a fault or a result.</summary>
internal sealed record LibvirtReply(long? Progress = null, JsonElement? Result = null, FaultKind? Fault = null, string? Message = null);

/// <summary>What a child can be asked: data on this side, done over there by <see cref="Answer"/>.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "call")]
[JsonDerivedType(typeof(CheckHost), "check-host")]
[JsonDerivedType(typeof(MeasureHost), "measure-host")]
[JsonDerivedType(typeof(OffersKvm), "offers-kvm")]
[JsonDerivedType(typeof(BootProbe), "boot-probe")]
[JsonDerivedType(typeof(LookAtMachines), "look-at-machines")]
[JsonDerivedType(typeof(ListNames), "list-names")]
[JsonDerivedType(typeof(FindMachine), "find-machine")]
[JsonDerivedType(typeof(MakeMachine), "make-machine")]
[JsonDerivedType(typeof(RemoveMachine), "remove-machine")]
[JsonDerivedType(typeof(RemoveNetwork), "remove-network")]
[JsonDerivedType(typeof(ChangePower), "change-power")]
[JsonDerivedType(typeof(ReadLog), "read-log")]
[JsonDerivedType(typeof(FindImage), "find-image")]
[JsonDerivedType(typeof(ImportImage), "import-image")]
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
[JsonSerializable(typeof(bool))]
[JsonSerializable(typeof(byte[]))]
[JsonSerializable(typeof(TimeSpan?))]
[JsonSerializable(typeof(List<PoolProblem>))]
[JsonSerializable(typeof(HostSize))]
[JsonSerializable(typeof(HostView))]
[JsonSerializable(typeof(HostNames))]
[JsonSerializable(typeof(ImageOnHost))]
internal sealed partial class LibvirtJson : JsonSerializerContext
{
    public static JsonTypeInfo<T> Of<T>() => (JsonTypeInfo<T>)(Default.GetTypeInfo(typeof(T)) ?? throw new NotSupportedException($"{typeof(T)} is no result of a call."));
}
