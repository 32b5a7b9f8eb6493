using System.Collections.Concurrent;
using LabPortal.Domain;
using LabPortal.Domain.Consoles;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Pools;
using Microsoft.Extensions.Logging;

namespace LabPortal.Operations.Consoles;

/// <summary>The consoles that somebody of this process looks at: one room for each kind of each machine, however many look.</summary>
public sealed class ConsoleRooms(ConsoleCalls calls, OpenPools pools, TimeProvider time, ILogger<ConsoleRooms> log)
{
    private readonly ConcurrentDictionary<(MachineId Machine, int Generation, ConsoleKind Kind), Lazy<Task<ConsoleRoom?>>> _rooms = new();

    /// <summary>A seat in the machine's room, which is opened for the first. Empty where somebody outside of this process holds the port.</summary>
    internal async Task<ConsoleSeat?> JoinAsync(ConsolePass pass, bool takeOver, CancellationToken cancellation)
    {
        var key = (pass.Machine.Id, pass.Machine.Generation, pass.Kind);
        while (true)
        {
            var opening = _rooms.GetOrAdd(key, _ => new Lazy<Task<ConsoleRoom?>>(() => OpenAsync(pass, takeOver && pass.MayType)));
            ConsoleRoom? room;
            try
            {
                room = await opening.Value.WaitAsync(cancellation);
            }
            catch (Exception) when (opening.Value.IsFaulted)
            {
                _rooms.TryRemove(KeyValuePair.Create(key, opening));
                throw;
            }

            if (room?.Join(pass.Actor.Person, pass.Actor.Name, pass.MayType) is { } seat) return seat;
            // It was closed meanwhile, or was never open: nobody finds it any more.
            _rooms.TryRemove(KeyValuePair.Create(key, opening));
            if (room is null) return null;
        }
    }

    /// <summary>A line of the viewer's own to a machine's screen.</summary>
    internal async Task<Stream> OpenScreenAsync(ConsolePass pass, CancellationToken cancellation) => await ProviderAsync(pass, cancellation) is IScreenAbility screens
        ? await screens.OpenScreenAsync(await calls.ReferenceAsync(pass.Machine, cancellation), cancellation)
        : throw new ProviderFault(FaultKind.Rejected, "Its pool shows no screens.");

    private async Task<IProvider> ProviderAsync(ConsolePass pass, CancellationToken cancellation) => (await pools.OpenAsync(pass.Machine.Pool!.Value, cancellation)).Provider;

    /// <summary>Not one viewer's: who comes second must not lose it because the first went away.</summary>
    private async Task<ConsoleRoom?> OpenAsync(ConsolePass pass, bool takeOver) => pass.Kind switch
    {
        ConsoleKind.Vnc => Room(pass, line: null),
        _ => await OpenSerialAsync(pass, takeOver, CancellationToken.None),
    };

    private async Task<ConsoleRoom?> OpenSerialAsync(ConsolePass pass, bool takeOver, CancellationToken cancellation)
    {
        var provider = await ProviderAsync(pass, cancellation);
        var reference = await calls.ReferenceAsync(pass.Machine, cancellation);
        if (provider is not ISerialConsoleAbility serial) throw new ProviderFault(FaultKind.Rejected, "Its pool has no serial consoles.");
        // The line first: what is printed in between is in both, and found there; the other way round it would be in neither.
        if (await serial.OpenSerialConsoleAsync(reference, takeOver, cancellation) is not { } line) return null;
        var room = Room(pass, line);
        try
        {
            if (provider is ISerialLogAbility before) room.Recall(await before.ReadSerialLogAsync(reference, ConsoleRoom.Scrolled, cancellation));
        }
        catch (ProviderFault fault)
        {
            log.LogWarning(fault, "The serial log of {Machine} in lab {Lab} could not be read; its console begins with now.", pass.Machine.Name, pass.Lab);
        }

        return room;
    }

    private ConsoleRoom Room(ConsolePass pass, Stream? line)
        => new(line, time, fault => log.LogWarning(fault, "The {Kind} line of {Machine} in lab {Lab} broke.", pass.Kind, pass.Machine.Name, pass.Lab));
}
