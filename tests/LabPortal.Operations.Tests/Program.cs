using LabPortal.Operations.Tests.Workflows;

// The same two runners as xunit's own entry point has, and before them the worker that tests start and kill.
return args switch
{
    [EngineWorker.Word, .. var order] => await EngineWorker.RunAsync(order),
    _ when args.Any(arg => arg is "--server" or "--internal-msbuild-node") =>
        await Xunit.MicrosoftTestingPlatform.TestPlatformTestFramework.RunAsync(args, LabPortal.Operations.Tests.SelfRegisteredExtensions.AddSelfRegisteredExtensions),
    _ => await Xunit.Runner.InProc.SystemConsole.ConsoleRunner.Run(args),
};
