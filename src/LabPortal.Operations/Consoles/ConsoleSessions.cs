using System.Collections.Concurrent;
using System.Data.Common;
using System.Net.WebSockets;
using LabPortal.Domain;
using LabPortal.Domain.Consoles;
using LabPortal.Domain.Pools;
using LabPortal.Operations.Settings;
using Microsoft.Extensions.Logging;
using NodaTime;

namespace LabPortal.Operations.Consoles;

/// <summary>How often it is asked whether who is in at a console may stay.</summary>
public sealed record ConsoleWatch(TimeSpan LookEvery);

/// <summary>A console from when somebody was let in until they are out: bytes both ways, and an end in the audit whatever happens.</summary>
public sealed class ConsoleSessions(ConsoleCalls calls, ConsoleRooms rooms, LiveSettings settings, ConsoleWatch watch, TimeProvider time, ILogger<ConsoleSessions> log)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(3);

    /// <summary>So many looks in a row may fail: a database that is away for a moment cuts nobody off.</summary>
    private const int MostFailedLooks = 6;

    private readonly ConcurrentDictionary<PersonId, int> _open = new();

    /// <summary>Returns when it is over. <paramref name="takeOver"/>: whoever else holds the machine's port loses it.</summary>
    public async Task ServeAsync(ConsolePass pass, WebSocket connection, bool takeOver, CancellationToken stopping)
    {
        using var socket = new ConsoleSocket(connection, time);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var (began, why) = (time.GetTimestamp(), ConsoleEnd.Broken);
        try
        {
            why = await InAsync(pass, socket, takeOver, over);
            // Who was not let in has yet to hear why; to whoever was in, it was said.
            await socket.CloseAsync(why, socket.DrainAsync());
        }
        finally
        {
            // Saved whoever waits for it: the session was there.
            var length = Duration.FromTimeSpan(time.GetElapsedTime(began));
            await calls.LeaveAsync(pass, new ConsoleUse(length, socket.Typed, socket.Shown, why), CancellationToken.None);
        }
    }

    /// <summary>Why it is over. Their place is free again by then, also of those who were not let in.</summary>
    private async Task<string> InAsync(ConsolePass pass, ConsoleSocket socket, bool takeOver, CancellationTokenSource over)
    {
        var person = pass.Actor.Person!.Value;
        try
        {
            return _open.AddOrUpdate(person, 1, (_, open) => open + 1) > settings.Now.ConsolesPerPerson ? ConsoleEnd.TooMany : pass.Kind switch
            {
                ConsoleKind.Ssh => await TunnelAsync(pass, socket, over),
                ConsoleKind.Vnc => await ScreenAsync(pass, socket, over),
                _ => await LineAsync(pass, socket, takeOver, over),
            };
        }
        catch (ProviderFault fault)
        {
            log.LogWarning(fault, "The {Kind} console of {Machine} in lab {Lab} could not be opened.", pass.Kind, pass.Machine.Name, pass.Lab);
            return ConsoleEnd.NoAnswer;
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            return ConsoleEnd.PortalEnds;
        }
        catch (Exception fault)
        {
            log.LogError(fault, "The {Kind} console of {Machine} in lab {Lab} broke before it was open.", pass.Kind, pass.Machine.Name, pass.Lab);
            return ConsoleEnd.Broken;
        }
        finally
        {
            _open.AddOrUpdate(person, 0, (_, open) => open - 1);
            _open.TryRemove(KeyValuePair.Create(person, 0));
        }
    }

    private async Task<string> TunnelAsync(ConsolePass pass, ConsoleSocket socket, CancellationTokenSource over)
    {
        var line = await Tunnel.OpenAsync(pass.Machine, over.Token);
        if (line is null) return ConsoleEnd.NoAnswer;
        await using (line)
        {
            return await UntilAsync(
                pass, socket, over, socket.ReadAsync(async bytes => await line.WriteAsync(bytes, over.Token), _ => { }), cancellation => ShowAsync(line, socket, cancellation));
        }
    }

    /// <summary>Each viewer has a line of their own, so that a slow one holds nobody up; the gate lets through only what its person may.</summary>
    private async Task<string> ScreenAsync(ConsolePass pass, ConsoleSocket socket, CancellationTokenSource over)
    {
        var (seat, why) = await rooms.JoinAsync(pass, takeOver: false, over.Token);
        using var seated = seat;
        if (seat is null) return why;
        await using var screen = await rooms.OpenScreenAsync(pass, over.Token);
        var gate = new ScreenGate(() => seat.Types, socket.Did);
        var reading = socket.ReadAsync(
            async bytes =>
            {
                await screen.WriteAsync(gate.Pass(bytes.Span), over.Token);
                await screen.FlushAsync(over.Token);
            },
            seat.Take, isTyping: false);
        return await UntilAsync(pass, socket, over, reading, cancellation => Task.WhenAny(ShowAsync(screen, socket, cancellation), TellAsync(seat, socket, cancellation)).Unwrap());
    }

    private static async Task<string> ShowAsync(Stream line, ConsoleSocket socket, CancellationToken cancellation)
    {
        var portion = new byte[ConsoleSocket.Portion];
        for (int read; (read = await line.ReadAsync(portion, cancellation)) > 0;) await socket.ShowAsync(portion.AsMemory(0, read));
        return ConsoleEnd.Ended;
    }

    private static async Task<string> TellAsync(ConsoleSeat seat, ConsoleSocket socket, CancellationToken cancellation)
    {
        while (true)
        {
            var news = await seat.NewsAsync(cancellation);
            if (news.Room is { } room) await socket.TellAsync(room);
            if (news.Ended is { } why) return why;
        }
    }

    private async Task<string> LineAsync(ConsolePass pass, ConsoleSocket socket, bool takeOver, CancellationTokenSource over)
    {
        var (seat, why) = await rooms.JoinAsync(pass, takeOver, over.Token);
        using var seated = seat;
        if (seat is null) return why;
        return await UntilAsync(pass, socket, over, socket.ReadAsync(bytes => seat.TypeAsync(bytes, over.Token), note => seat.Take(note)), async cancellation =>
        {
            while (true)
            {
                var news = await seat.NewsAsync(cancellation);
                if (news.Room is { } room) await socket.TellAsync(room);
                foreach (var bytes in news.Printed) await socket.ShowAsync(bytes);
                if (news.IsLive) await socket.TellAsync(new { live = true });
                if (news.Ended is { } why) return why;
                // What a guest prints without end comes at a pace that a page can show; what is more is passed over.
                if (news.Printed.Count > 0) await Task.Delay(ConsoleSeat.Pace, time, cancellation);
            }
        });
    }

    /// <summary>Until the first of them ends: the person, the machine, the watch.</summary>
    private async Task<string> UntilAsync(ConsolePass pass, ConsoleSocket socket, CancellationTokenSource over, Task<string> reading, Func<CancellationToken, Task<string>> show)
    {
        Task<string>[] parts = [reading, show(over.Token), WatchAsync(pass, socket, over.Token)];
        var why = await OutcomeAsync(await Task.WhenAny(parts), pass);
        await over.CancelAsync();
        await socket.CloseAsync(why, reading);
        // All of them end now. That it is over is written down even where one hangs.
        await Task.WhenAny(Task.WhenAll(parts.Select(part => OutcomeAsync(part, pass))), Task.Delay(s_patience, time, CancellationToken.None));
        return why;
    }

    private async Task<string> WatchAsync(ConsolePass pass, ConsoleSocket socket, CancellationToken cancellation)
    {
        var failed = 0;
        while (true)
        {
            await Task.Delay(settings.Now.ConsoleIdle / 4 < watch.LookEvery ? settings.Now.ConsoleIdle / 4 : watch.LookEvery, time, cancellation);
            if (socket.Idle >= settings.Now.ConsoleIdle) return ConsoleEnd.Idle;
            try
            {
                if (await calls.WhyNotStayAsync(pass, cancellation) is { } refusal) return refusal.Code;
                failed = 0;
            }
            catch (DbException fault) when (++failed < MostFailedLooks)
            {
                log.LogWarning(fault, "Whether {Person} may stay at the {Kind} console of {Machine} in lab {Lab} could not be read.", pass.Actor.Name, pass.Kind, pass.Machine.Name, pass.Lab);
            }
        }
    }

    private async Task<string> OutcomeAsync(Task<string> part, ConsolePass pass)
    {
        try
        {
            return await part;
        }
        catch (OperationCanceledException)
        {
            return ConsoleEnd.PortalEnds;
        }
        catch (Exception fault) when (fault is IOException or WebSocketException or ObjectDisposedException)
        {
            // One of the two ends is gone; which one is said by nobody.
            return ConsoleEnd.Lost;
        }
        catch (Exception fault)
        {
            log.LogError(fault, "The {Kind} console of {Machine} in lab {Lab} broke.", pass.Kind, pass.Machine.Name, pass.Lab);
            return ConsoleEnd.Broken;
        }
    }
}
