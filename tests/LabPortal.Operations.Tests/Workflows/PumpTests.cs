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
    public async Task Where_look_and_claim_disagree_the_pump_rests_and_what_is_new_still_goes_at_once()
    {
        await using var house = await House.BuildAsync(databases, Engine.Sqlite, time: TimeProvider.System);
        await using var server = new PumpServer(house, linger: TimeSpan.Zero);
        var stuck = await house.RequestAsync();
        await WaitAsync(async () => (await house.LabAsync(stuck.Id)).State == LabState.Ready);

        // A run looks due to the pump, and no batch gets it.
        server.Blind = true;
        await house.BeginAsync(stuck, WorkflowNames.Stop);
        await Task.Delay(500, Cancellation);
        var jobs = server.Jobs;
        await Task.Delay(TimeSpan.FromSeconds(3), Cancellation);
        Assert.InRange(server.Jobs - jobs, 1, 4);
        server.Blind = false;
        var began = TimeProvider.System.GetTimestamp();
        await house.RequestAsync();
        await WaitAsync(async () => (await house.RunAsync(stuck.Id)).State == RunState.Done);
        Assert.InRange(TimeProvider.System.GetElapsedTime(began), TimeSpan.Zero, TimeSpan.FromMilliseconds(900));
    }

    [Theory, InlineData(Engine.Sqlite), InlineData(Engine.Postgres)]
    public async Task A_pump_that_cannot_order_jobs_or_has_no_beat_is_known_by_its_silence_and_is_well_again_after(Engine engine)
    {
        await using var house = await House.BuildAsync(databases, engine);
        using var worker = new Worker(house);
        using var storage = new InMemoryStorage();
        var (jobs, said) = (new Jobs(), new Said());
        var pump = new TurnPump(house.Database, house.Workflows, worker.Lease, worker.Bell, worker.Tools.Settings, house.Time, jobs, said);
        using var stopping = new CancellationTokenSource();
        var pumping = Task.Factory.StartNew(
            () => pump.Execute(new BackgroundProcessContext("test", storage, new Dictionary<string, object>(), Guid.NewGuid(), stopping.Token, stopping.Token, stopping.Token)),
            Cancellation, TaskCreationOptions.LongRunning, TaskScheduler.Default);
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
        await stopping.CancelAsync();
        await pumping;

        Task IsWellAsync() => Patience.UntilAsync(() => PassAsync(() => worker.Bell.SinceLooked < TimeSpan.FromSeconds(2)));

        async Task<bool> PassAsync(Func<bool> isSo, bool beats = true)
        {
            if (isSo()) return true;
            if (beats) await worker.Lease.BeatAsync(Cancellation);
            house.Clock.Advance(TimeSpan.FromSeconds(1));
            return false;
        }
    }

    /// <summary>A storage of jobs that is away or not, and in which nobody works.</summary>
    private sealed class Jobs : IBackgroundJobClient
    {
        public bool Fail { get; set; }
        public int Refused { get; private set; }
        public int Ordered { get; private set; }

        public string Create(Job job, IState state)
        {
            if (Fail)
            {
                Refused++;
                throw new BackgroundJobClientException("The storage of jobs is away.", new TimeoutException());
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

        public PumpServer(House house, TimeSpan? linger = null)
        {
            _worker = new Worker(house, settings: house.Tools.Settings with { Linger = linger ?? house.Tools.Settings.Linger });
            var client = new BackgroundJobClient(_storage);
            _server = new BackgroundJobServer(
                new BackgroundJobServerOptions { WorkerCount = 4, Activator = new Only(this) },
                _storage,
                [
                    new WorkerBeat(_worker.Lease, _worker.Tools.Settings, NullLogger<WorkerBeat>.Instance),
                    new TurnPump(house.Database, house.Workflows, _worker.Lease, _worker.Bell, _worker.Tools.Settings, house.Time, client, NullLogger<TurnPump>.Instance),
                ]);
        }

        /// <summary>Batches find nothing, as if they saw another world than the pump.</summary>
        public bool Blind { get; set; }

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
            private readonly TurnBatch _blind = server._worker.WithWorkflows(new RegisteredWorkflows([]));

            public override object ActivateJob(Type jobType) => server.Blind ? _blind : server._worker.Batch;
        }
    }
}
