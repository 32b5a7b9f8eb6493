using System.Collections.Concurrent;
using Hangfire;
using Hangfire.Common;
using Hangfire.InMemory;
using Hangfire.Server;
using Hangfire.States;
using LabPortal.Data.Workflows;
using LabPortal.Domain.Labs;
using LabPortal.Domain.Workflows;
using LabPortal.Operations.Workflows;
using LabPortal.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace LabPortal.Operations.Tests.Workflows;

/// <summary>Pump and beat in a real Hangfire server: nothing here turns a run itself.</summary>
public sealed class PumpTests(TestDatabases databases)
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task Labs_get_ready_and_end_by_the_pump_alone_and_idle_it_orders_nothing(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine, """{"bootSeconds": 0.5}""", time: TimeProvider.System);
        await using var server = new PumpServer(house);
        var labs = new List<Lab>();
        for (var i = 0; i < 3; i++) labs.Add(await house.RequestAsync());
        foreach (var lab in labs) await WaitAsync(async () => (await house.LabAsync(lab.Id)).State == LabState.Ready);
        var jobs = server.Jobs;
        await Task.Delay(TimeSpan.FromSeconds(3), Cancellation);
        Assert.InRange(server.Jobs - jobs, 0, 4);
        foreach (var lab in labs) await house.EndAsync(lab.Id);
        foreach (var lab in labs) await WaitAsync(async () => (await house.LabAsync(lab.Id)).State == LabState.Ended);
        Assert.Empty(await house.World.ResourcesAsync(Cancellation));
    }

    [Fact]
    public async Task Where_look_and_claim_disagree_the_pump_rests_and_what_is_new_still_goes_without_a_wait()
    {
        await using var house = await House.BuildAsync(databases, Engine.Sqlite);
        using var worker = new Worker(house, settings: house.Tools.Settings with { Linger = TimeSpan.Zero });
        await using var pumping = new PumpAlone(house, worker);
        // A run looks due to the pump, and no batch gets it.
        pumping.Jobs.Batch = worker.WithWorkflows(new RegisteredWorkflows([]));
        await house.RequestAsync();
        await Patience.UntilAsync(() => PassAsync(() => pumping.Jobs.Ordered > 0));
        var (ordered, seconds) = (pumping.Jobs.Ordered, 0);
        while (seconds < 20)
        {
            await worker.Lease.BeatAsync(Cancellation);
            house.Clock.Advance(TimeSpan.FromSeconds(1));
            seconds++;
            // As soon as it looked again, so that it sees each second once.
            await Patience.UntilAsync(() => Task.FromResult(worker.Bell.SinceLooked == TimeSpan.Zero));
        }

        Assert.InRange(pumping.Jobs.Ordered - ordered, 2, seconds + 1);

        // The clock stands from here on.
        await Patience.UntilAsync(() => Task.FromResult(pumping.Jobs.AtWork == 0));
        pumping.Jobs.Batch = worker.Batch;
        var lab = await house.RequestAsync();
        await Patience.UntilAsync(async () => (await house.JournalAsync((await house.RunAsync(lab.Id)).Id)).Count > 0);

        async Task<bool> PassAsync(Func<bool> isSo)
        {
            if (isSo()) return true;
            await worker.Lease.BeatAsync(Cancellation);
            house.Clock.Advance(TimeSpan.FromSeconds(1));
            return false;
        }
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_pump_that_cannot_order_jobs_or_has_no_beat_is_known_by_its_silence_and_is_well_again_after(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        using var worker = new Worker(house);
        await using var pumping = new PumpAlone(house, worker);
        var (jobs, said) = (pumping.Jobs, pumping.Said);
        await IsWellAsync();

        // Something is due, and nobody is there to turn it.
        await house.RequestAsync();
        jobs.Fail = true;
        await Patience.UntilAsync(() => PassAsync(() => jobs.Refused > 0));
        var (silent, refused) = (house.Now - NodaTime.Duration.FromTimeSpan(worker.Bell.SinceLooked), jobs.Refused);
        await Patience.UntilAsync(() => PassAsync(() => jobs.Refused >= refused + 10 && house.Now - silent > NodaTime.Duration.FromSeconds(40)));
        Assert.InRange(worker.Bell.SinceLooked, TimeSpan.FromSeconds(40), TimeSpan.MaxValue);
        Assert.Equal(["The pump could not order a job that turns due runs; it tries again."], said.Sentences.Distinct());
        jobs.Fail = false;
        await IsWellAsync();
        Assert.True(jobs.Ordered > 0, "Nobody was ordered to turn what is due.");

        // Its beat does not come through: it looks for nothing.
        await Patience.UntilAsync(() => PassAsync(() => worker.Bell.SinceLooked > TimeSpan.FromSeconds(40), beats: false));
        Assert.False(worker.Lease.MayAct);
        await IsWellAsync();

        Task IsWellAsync() => Patience.UntilAsync(() => PassAsync(() => worker.Bell.SinceLooked < TimeSpan.FromSeconds(2)));

        async Task<bool> PassAsync(Func<bool> isSo, bool beats = true)
        {
            if (isSo()) return true;
            if (beats) await worker.Lease.BeatAsync(Cancellation);
            house.Clock.Advance(TimeSpan.FromSeconds(1));
            return false;
        }
    }

    /// <summary>A pump on a thread of its own and on the house's clock, without a Hangfire server around it.</summary>
    private sealed class PumpAlone : IAsyncDisposable
    {
        private readonly InMemoryStorage _storage = new();
        private readonly CancellationTokenSource _stopping = new();
        private readonly Task _pumping;

        public PumpAlone(House house, Worker worker)
        {
            var pump = new TurnPump(house.Database, house.Workflows, worker.Lease, worker.Bell, worker.Tools.Settings, house.Time, Jobs, Said);
            var context = new BackgroundProcessContext("test", _storage, new Dictionary<string, object>(), Guid.NewGuid(), _stopping.Token, _stopping.Token, _stopping.Token);
            _pumping = Task.Factory.StartNew(() => pump.Execute(context), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }

        public Jobs Jobs { get; } = new();

        public Said Said { get; } = new();

        public async ValueTask DisposeAsync()
        {
            await _stopping.CancelAsync();
            await _pumping;
            await Patience.UntilAsync(() => Task.FromResult(Jobs.AtWork == 0));
            _stopping.Dispose();
            _storage.Dispose();
        }
    }

    /// <summary>A storage of jobs that is away or not, and in which nobody works but the batch that it was given.</summary>
    private sealed class Jobs : IBackgroundJobClient
    {
        private int _atWork;

        public bool Fail { get; set; }
        public TurnBatch? Batch { get; set; }
        public int Refused { get; private set; }
        public int Ordered { get; private set; }
        public int AtWork => Volatile.Read(ref _atWork);

        public string Create(Job job, IState state)
        {
            if (Fail)
            {
                Refused++;
                throw new BackgroundJobClientException("The storage of jobs is away.", new TimeoutException());
            }

            if (Batch is { } batch)
            {
                Interlocked.Increment(ref _atWork);
                _ = Task.Run(
                    async () =>
                    {
                        await batch.AdvanceDueAsync(CancellationToken.None);
                        Interlocked.Decrement(ref _atWork);
                    },
                    Cancellation);
            }

            return $"{++Ordered}";
        }

        public bool ChangeState(string jobId, IState state, string expectedState) => throw new NotSupportedException();
    }

    private sealed class Said : ILogger<TurnPump>
    {
        public ConcurrentQueue<string> Sentences { get; } = [];

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => Sentences.Enqueue(formatter(state, exception));
    }

    private static async Task WaitAsync(Func<Task<bool>> isSo)
    {
        for (var i = 0; !await isSo(); i++)
        {
            Assert.True(i < 600, "It does not come to be.");
            await Task.Delay(25, Cancellation);
        }
    }

    private sealed class PumpServer : IAsyncDisposable
    {
        private readonly InMemoryStorage _storage = new();
        private readonly BackgroundJobServer _server;
        private readonly Worker _worker;

        public PumpServer(House house)
        {
            _worker = new Worker(house);
            var client = new BackgroundJobClient(_storage);
            _server = new BackgroundJobServer(
                new BackgroundJobServerOptions { WorkerCount = 4, Activator = new Only(this) },
                _storage,
                [
                    new WorkerBeat(_worker.Lease, _worker.Tools.Settings, NullLogger<WorkerBeat>.Instance),
                    new TurnPump(house.Database, house.Workflows, _worker.Lease, _worker.Bell, _worker.Tools.Settings, house.Time, client, NullLogger<TurnPump>.Instance),
                ]);
        }

        public long Jobs => _storage.GetMonitoringApi().GetStatistics() is var counts ? counts.Enqueued + counts.Processing + counts.Succeeded + counts.Failed + counts.Deleted : 0;

        public async ValueTask DisposeAsync()
        {
            _server.SendStop();
            await _server.WaitForShutdownAsync(CancellationToken.None);
            _server.Dispose();
            _worker.Dispose();
            _storage.Dispose();
        }

        private sealed class Only(PumpServer server) : JobActivator
        {
            public override object ActivateJob(Type jobType) => server._worker.Batch;
        }
    }
}
