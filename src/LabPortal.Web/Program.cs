using LabPortal.Web.Api;
using LabPortal.Web.Features;
using LabPortal.Web.Hosting;

var builder = WebApplication.CreateBuilder(args);
builder.AddPortal();
builder.AddApi();
builder.AddPages();

var app = builder.Build();
await app.PreparePortalAsync();
app.UsePortal();
app.MapApi();
app.MapPages();
await app.RunAsync();
